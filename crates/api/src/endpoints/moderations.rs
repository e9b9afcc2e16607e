//! Moderations: shields in OpenAI's form. The path also answers under `/v1/openai`.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Method,
    openai::{ModerationRequest, ModerationResponse},
};

pub struct CreateModeration;
impl Endpoint for CreateModeration {
    type Request = ModerationRequest;
    type Response = ModerationResponse;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec {
        face: Face::OpenAi,
        ..EndpointSpec::new(
            Api::Safety,
            Method::Post,
            "/v1/moderations",
            "create_moderation",
            "What a shield finds in texts and images, in the categories of OpenAI.",
        )
    };
}

pub const ALL: &[Described] = &[Described::of::<CreateModeration>()];
