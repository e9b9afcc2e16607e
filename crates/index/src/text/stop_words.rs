//! The most frequent words of some languages: articles, pronouns, prepositions, auxiliary verbs.

use crate::Language;

/// The words, divided by spaces; none for a language without a list.
pub(super) fn of(language: Language) -> &'static str {
    match language {
        Language::Dutch => DUTCH,
        Language::English => ENGLISH,
        Language::French => FRENCH,
        Language::German => GERMAN,
        Language::Italian => ITALIAN,
        Language::Portuguese => PORTUGUESE,
        Language::Spanish => SPANISH,
        Language::Arabic
        | Language::Danish
        | Language::Finnish
        | Language::Greek
        | Language::Hungarian
        | Language::Norwegian
        | Language::Romanian
        | Language::Russian
        | Language::Swedish
        | Language::Tamil
        | Language::Turkish => "",
    }
}

const DUTCH: &str = "aan als bij dan dat de den der des deze die dit door een en er haar het hij \
    hun ik in is je kan maar men met mijn na naar niet nog of om ook op over te ten ter tot uit \
    u van voor waren was wat we wel werd wie wij worden wordt ze zei zich zij zijn zo zou";

const ENGLISH: &str = "a about an and are as at be been but by can could did do does for from had \
    has have he her his how i if in into is it its me my of on or our she should so than that the \
    their them then there these they this those to was we were what when where which who will \
    with would you your";

const FRENCH: &str = "a ai au aux avec ce ces cette dans de des du elle elles en est et eu il ils \
    je la le les leur leurs lui ma mais me mes mon ne nos notre nous on ont ou par pas pour qu \
    que qui sa se ses son sont sur ta te tes ton tu un une vos votre vous y";

const GERMAN: &str = "aber als am an auch auf aus bei bin bis da das dass dem den der des die \
    dies diese dieser dieses du durch ein eine einem einen einer eines er es für hat haben ich ihr \
    im in ist ja kann man mit nach nicht noch nur oder sein sich sie sind so über um und uns von \
    vor war waren was wenn werden wie wir wird zu zum zur";

const ITALIAN: &str = "a ad agli ai al alla alle anche che chi ci come con da dagli dai dal dalla \
    de degli dei del della delle di e ed è era gli ha hanno i il in io la le lo lui ma mi ne nei \
    nel nella noi non o per più quella quello questa questo se si sono su sua suo sul sulla ti tra \
    tu un una uno vi voi";

const PORTUGUESE: &str = "a à ao aos as às com como da das de dela dele do dos e é ela elas ele \
    eles em entre era essa esse esta este eu foi há isso isto já lhe mais mas me mesmo meu minha \
    muito na não nas no nos nós o os ou para pela pelo por quando que quem se sem ser seu sua são \
    também te tem um uma você";

const SPANISH: &str = "a al algo como con cuando de del desde donde e el ella ellas ellos en \
    entre era es esa ese eso esta este esto está fue ha han hay la las le les lo los más me mi \
    muy nada ni no nos o para pero por porque que qué quien se ser si sin sobre son su sus también \
    te tiene todo tu un una uno y ya yo";
