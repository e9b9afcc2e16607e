//! Agents, their sessions and turns.

use crate::routes::Routes;
use chaski_api::endpoints::agents::{
    CreateAgent, CreateAgentSession, CreateAgentTurn, DeleteAgent, DeleteAgentSession, GetAgent,
    GetAgentSession, GetAgentStep, GetAgentTurn, ListAgentSessions, ListAgents, ResumeAgentTurn,
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<CreateAgent, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.create_agent(&cx, request.agent_config).await
    });
    routes.on::<ListAgents, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.list_agents(&cx, request).await
    });
    routes.on::<GetAgent, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.get_agent(&cx, &request.agent_id).await
    });
    routes.on::<DeleteAgent, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.delete_agent(&cx, &request.agent_id).await
    });
    routes.on::<ListAgentSessions, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.list_sessions(&cx, request).await
    });
    routes.on::<CreateAgentSession, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.create_session(&cx, request).await
    });
    routes.on::<GetAgentSession, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.get_session(&cx, request).await
    });
    routes.on::<DeleteAgentSession, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.delete_session(&cx, request).await
    });
    routes.stream::<CreateAgentTurn, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.create_turn(&cx, request).await
    });
    routes.stream::<ResumeAgentTurn, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.resume_turn(&cx, request).await
    });
    routes.on::<GetAgentTurn, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.get_turn(&cx, request).await
    });
    routes.on::<GetAgentStep, _, _>(|app, cx, request| async move {
        app.stack.agents().await?.get_step(&cx, request).await
    });
}
