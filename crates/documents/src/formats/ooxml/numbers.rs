//! How the numbers of a sheet are shown: dates, and digits as many as are sure.

/// What a format does to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shown {
    #[default]
    Plain,
    Percent,
    Date,
    Time,
    DateTime,
}

/// The formats that have a number and no text.
pub(super) fn built_in(id: u32) -> Shown {
    match id {
        9 | 10 => Shown::Percent,
        14..=17 | 27..=31 | 34..=36 | 50..=58 => Shown::Date,
        18..=21 | 32 | 33 | 45..=47 => Shown::Time,
        22 => Shown::DateTime,
        _ => Shown::Plain,
    }
}

/// What a format with a text, such as `yyyy-mm-dd`, does.
pub(super) fn of_code(code: &str) -> Shown {
    let (mut date, mut time, mut percent) = (false, false, false);
    let mut chars = code.chars();
    while let Some(c) = chars.next() {
        match c {
            // Quoted text, colours and conditions, and single characters that are shown.
            '"' => while chars.next().is_some_and(|c| c != '"') {},
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                time |= matches!(inside.as_str(), "h" | "hh" | "m" | "mm" | "s" | "ss");
            }
            '\\' | '_' | '*' => {
                chars.next();
            }
            'y' | 'Y' | 'd' | 'D' => date = true,
            'h' | 'H' | 's' | 'S' => time = true,
            '%' => percent = true,
            // Formats for negative numbers and text follow.
            ';' => break,
            _ => {}
        }
    }
    match (date, time, percent) {
        (true, true, _) => Shown::DateTime,
        (true, false, _) => Shown::Date,
        (false, true, _) => Shown::Time,
        (false, false, true) => Shown::Percent,
        (false, false, false) => Shown::Plain,
    }
}

/// The last day that is a date: the end of the year 9999.
const LAST_DAY: f64 = 2_958_466.0;

/// The text of a number. `since_1904` says from when days count.
pub(super) fn show(value: &str, shown: Shown, since_1904: bool) -> String {
    let Ok(number) = value.trim().parse::<f64>() else { return value.to_owned() };
    let is_day = (0.0..LAST_DAY).contains(&number);
    match shown {
        Shown::Percent => format!("{}%", plain(number * 100.0)),
        Shown::Date if is_day => date(number, since_1904),
        Shown::Time if is_day && number < 1.0 => time(number),
        Shown::Time | Shown::DateTime if is_day => {
            format!("{} {}", date(number, since_1904), time(number))
        }
        Shown::Plain | Shown::Date | Shown::Time | Shown::DateTime => plain(number),
    }
}

/// A number with the 15 digits that spreadsheets keep.
fn plain(number: f64) -> String {
    if !number.is_finite() {
        return String::new();
    }
    let rounded = format!("{number:.14e}").parse().unwrap_or(number);
    if rounded == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}

#[expect(clippy::cast_possible_truncation, reason = "days up to the year 9999 fit")]
fn date(number: f64, since_1904: bool) -> String {
    let day = number.floor() as i64;
    // Days since 1970. The calendar of 1900 has a 29th of February that never was.
    let since_1970 = if since_1904 {
        day - 24_107
    } else if day < 60 {
        day - 25_568
    } else {
        day - 25_569
    };
    let (year, month, day) = civil(since_1970);
    format!("{year:04}-{month:02}-{day:02}")
}

#[expect(clippy::cast_possible_truncation, reason = "the seconds of a day fit")]
fn time(number: f64) -> String {
    let seconds = ((number.fract() * 86_400.0).round() as i64).min(86_399);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if seconds == 0 {
        format!("{hours:02}:{minutes:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }
}

/// The date of a day since 1970, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is the last of a year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_in_a_spreadsheet() {
        for (value, shown, wanted) in [
            ("0.30000000000000004", Shown::Plain, "0.3"),
            ("42", Shown::Plain, "42"),
            ("1E+100", Shown::Plain, "1e100"),
            ("-0", Shown::Plain, "0"),
            ("text", Shown::Plain, "text"),
            ("0.125", Shown::Percent, "12.5%"),
            ("1", Shown::Date, "1900-01-01"),
            ("61", Shown::Date, "1900-03-01"),
            ("45291", Shown::Date, "2023-12-31"),
            ("45291.75", Shown::DateTime, "2023-12-31 18:00"),
            ("0.5", Shown::Time, "12:00"),
            ("1e99", Shown::Date, "1e99"),
            ("-5", Shown::Date, "-5"),
        ] {
            assert_eq!(show(value, shown, false), wanted, "{value}");
        }
        assert_eq!(show("0", Shown::Date, true), "1904-01-01");
    }

    #[test]
    fn formats_are_told_apart() {
        for (code, wanted) in [
            ("yyyy\\-mm\\-dd", Shown::Date),
            ("d/m/yy h:mm", Shown::DateTime),
            ("[h]:mm:ss", Shown::Time),
            ("0.00%", Shown::Percent),
            ("#,##0.00 \"days\"", Shown::Plain),
            ("[Red]0;yy", Shown::Plain),
        ] {
            assert_eq!(of_code(code), wanted, "{code}");
        }
    }
}
