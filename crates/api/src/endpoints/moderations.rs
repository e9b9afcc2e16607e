//! Moderations: shields in OpenAI's form. The path also answers under `/v1/openai`.

use crate::{
    Api, EndpointSpec, Face,
    openai::{ModerationRequest, ModerationResponse},
};

endpoints! {
    like EndpointSpec { face: Face::OpenAi, ..EndpointSpec::of(Api::Safety) };

    CreateModeration(ModerationRequest) -> ModerationResponse =
        Post "/v1/moderations", "create_moderation",
        "What a shield finds in texts and images, in the categories of OpenAI.";
}
