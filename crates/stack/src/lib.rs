//! The stack: configuration, resolver, registry, routing tables and routers.
