//! Hellos as version 4 has them: without features.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Features, KnownMember, Settings};
use crate::id::{Incarnation, NodeName};

/// See [`super::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) name: NodeName,
    pub(crate) incarnation: Incarnation,
    pub(crate) mesh: SocketAddr,
    pub(crate) members: Vec<KnownMember>,
    pub(crate) settings: Settings,
}

/// See [`super::HelloAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelloAnswer {
    Welcome(Hello),
    StaleIncarnation { known: Incarnation },
    Disagreed(Settings),
}

impl From<super::Hello> for Hello {
    fn from(hello: super::Hello) -> Self {
        let super::Hello { name, incarnation, mesh, members, settings, features: _ } = hello;
        Self { name, incarnation, mesh, members, settings }
    }
}

impl From<Hello> for super::Hello {
    fn from(hello: Hello) -> Self {
        let Hello { name, incarnation, mesh, members, settings } = hello;
        Self { name, incarnation, mesh, members, settings, features: Features::NONE }
    }
}

impl From<super::HelloAnswer> for HelloAnswer {
    fn from(answer: super::HelloAnswer) -> Self {
        match answer {
            super::HelloAnswer::Welcome(hello) => Self::Welcome(hello.into()),
            super::HelloAnswer::StaleIncarnation { known } => Self::StaleIncarnation { known },
            super::HelloAnswer::Disagreed(settings) => Self::Disagreed(settings),
        }
    }
}

impl From<HelloAnswer> for super::HelloAnswer {
    fn from(answer: HelloAnswer) -> Self {
        match answer {
            HelloAnswer::Welcome(hello) => Self::Welcome(hello.into()),
            HelloAnswer::StaleIncarnation { known } => Self::StaleIncarnation { known },
            HelloAnswer::Disagreed(settings) => Self::Disagreed(settings),
        }
    }
}
