//! A call of the API as `openapi.json` describes it. It stands beside its handler; method and path are those of its
//! [`Route`](crate::gateway::route::Route), and the status of each refusal is that of its [`ErrorCode`].

use std::borrow::Cow;

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::parameter::{Described, Parameter};
use super::schemas::{Schemas, reference};
use crate::gateway::schema::ErrorCode;

/// What a caller has to know of one call.
pub(in crate::gateway) struct Call {
    /// Names the call for programs.
    pub(super) id: &'static str,
    /// The group of calls that this one belongs to.
    pub(super) tag: &'static str,
    /// What the call is for, in one line.
    pub(super) summary: &'static str,
    /// What the line has no room for.
    pub(super) description: Option<String>,
    /// What a caller shows, where an API key is not it.
    pub(super) security: Option<Value>,
    /// The parameters beside those in the path.
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Value>,
    /// What it answers when it does what it should.
    pub(super) answers: Vec<(StatusCode, Value)>,
    /// What else it answers: one for each code.
    pub(super) refusals: Vec<Refusal>,
    /// The schemas that the others refer to.
    pub(super) schemas: Schemas,
}

/// A code that a call is refused with.
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    /// When this call is refused so. `None` where every call is refused alike.
    pub(super) text: Option<Cow<'static, str>>,
    /// The schema of the answer, where it tells more than the error.
    pub(super) schema: Option<Value>,
}

impl Call {
    /// A call of a backend, which needs an API key and a place among the requests in progress.
    pub(in crate::gateway) fn backend(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        let mut call = Self::client(id, tag, summary);
        call.refusals.push(Refusal::usual(ErrorCode::Unauthorized));
        call.refusals.push(Refusal::usual(ErrorCode::Overloaded));
        call
    }

    /// A call that everybody may make.
    pub(in crate::gateway) fn open(id: &'static str, summary: &'static str) -> Self {
        Self { security: Some(json!([])), ..Self::client(id, "operations", summary) }
    }

    /// A call of somebody who is asked for credentials by the handler.
    pub(in crate::gateway) fn client(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            description: None,
            security: None,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: EVERYWHERE.into_iter().map(Refusal::usual).collect(),
            schemas: Schemas::default(),
        }
    }

    /// Says more than the summary.
    pub(in crate::gateway) fn text(self, description: impl Into<String>) -> Self {
        Self { description: Some(description.into()), ..self }
    }

    /// Says what a caller shows.
    pub(in crate::gateway) fn security(self, security: Value) -> Self {
        Self { security: Some(security), ..self }
    }

    /// Takes the parameters in the query that `T` reads.
    pub(in crate::gateway) fn query<T: Described>(mut self) -> Self {
        self.parameters.extend(T::checked_parameters());
        self
    }

    /// Takes a parameter that is a header.
    pub(in crate::gateway) fn header(mut self, name: &'static str, text: &str, schema: Value) -> Self {
        self.parameters.push(Parameter::header(name, text, schema));
        self
    }

    /// Takes a body.
    pub(in crate::gateway) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Answers with a `T`.
    pub(in crate::gateway) fn answers<T: ToSchema>(mut self, status: StatusCode, text: &str) -> Self {
        self.schemas.add::<T>(&T::name());
        let schema = reference(&T::name());
        self.answers_as(status, text, json!({ "application/json": { "schema": schema } }))
    }

    /// Answers with something that is no type, or not one alone.
    pub(in crate::gateway) fn answers_as(mut self, status: StatusCode, text: &str, content: Value) -> Self {
        self.answers.push((status, json!({ "description": text, "content": content })));
        self
    }

    /// Answers without a body.
    pub(in crate::gateway) fn answers_empty(mut self, status: StatusCode, text: &str) -> Self {
        self.answers.push((status, json!({ "description": text })));
        self
    }

    /// Is refused with `code`, for a reason of its own.
    pub(in crate::gateway) fn refuses(self, code: ErrorCode, text: impl Into<Cow<'static, str>>) -> Self {
        self.refused(Refusal { code, text: Some(text.into()), schema: None })
    }

    /// The same for the reason that all calls have.
    pub(in crate::gateway) fn refuses_as_usual(self, code: ErrorCode) -> Self {
        self.refused(Refusal::usual(code))
    }

    /// Is refused with `code`, and may tell what the answer would have been.
    pub(in crate::gateway) fn fails<T: ToSchema>(
        mut self,
        code: ErrorCode,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        let schema = Some(self.schemas.add_error::<T>());
        self.refused(Refusal { code, text: Some(text.into()), schema })
    }

    /// Is refused with `code`, and tells the answer beside the error.
    pub(in crate::gateway) fn tells<T: ToSchema>(
        mut self,
        code: ErrorCode,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.schemas.add::<T>(&T::name());
        let schema = Some(json!({ "allOf": [reference("Error"), reference(&T::name())] }));
        self.refused(Refusal { code, text: Some(text.into()), schema })
    }

    /// Is not refused with `code`, as others are.
    pub(in crate::gateway) fn never(mut self, code: ErrorCode) -> Self {
        self.refusals.retain(|refusal| refusal.code != code);
        self
    }

    /// Refers to the schema of `T` by that name.
    pub(in crate::gateway) fn with<T: ToSchema>(mut self, name: &str) -> Self {
        self.schemas.add::<T>(name);
        self
    }

    /// Refers to a schema that is of no type.
    pub(in crate::gateway) fn with_schema(mut self, name: &str, schema: Value) -> Self {
        self.schemas.insert(name, schema);
        self
    }

    /// Whether the call can be refused with `code`.
    pub(in crate::gateway) fn is_refused_with(&self, code: ErrorCode) -> bool {
        self.refusals.iter().any(|refusal| refusal.code == code)
    }

    fn refused(self, refusal: Refusal) -> Self {
        let mut call = self.never(refusal.code);
        call.refusals.push(refusal);
        call
    }
}

impl Refusal {
    /// One of which there is nothing special to say.
    pub(super) fn usual(code: ErrorCode) -> Self {
        Self { code, text: None, schema: None }
    }
}

/// What a request is refused with before anybody looks at what it asks for: `App`, and `Front` before.
const EVERYWHERE: [ErrorCode; 6] = [
    ErrorCode::BadRequest,
    ErrorCode::UriTooLong,
    ErrorCode::UnsupportedEncoding,
    ErrorCode::HeadersTooLarge,
    ErrorCode::UnsupportedTransferEncoding,
    ErrorCode::NotReady,
];
