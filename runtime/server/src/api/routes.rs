//! Routes and their documentation, from one place: a handler is added together with what `utoipa::path` wrote down about it,
//! whose method and path are the ones that it is then reached by.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Schema};

use super::Operations;
use super::openapi;

/// Routes that are added one by one, and the document about them.
pub(super) struct Routes<O> {
    router: Router<Arc<O>>,
    document: OpenApi,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl<O: Operations> Routes<O> {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            document: openapi::empty(),
            schemas: Vec::new(),
        }
    }

    /// Adds an operation: `add(agents::__path_list, agents::list::<O>)`, where the first is what `#[utoipa::path]` generates.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a handler is given away, and its documentation is a type"
    )]
    pub(super) fn add<P, H, T>(mut self, _documented: P, handler: H) -> Self
    where
        P: utoipa::Path + SchemaReferences + Tags<'static>,
        H: Handler<T, Arc<O>>,
        T: 'static,
    {
        let path = P::path();
        P::schemas(&mut self.schemas);
        for method in P::methods() {
            let mut operation = openapi::complete(&path, &method, P::operation());
            operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
            self.router = self.router.route(&path, on(filter(&method), handler.clone()));
            let item = PathItem::new(method, operation);
            match self.document.paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => {
                    self.document.paths.paths.insert(path.clone(), item);
                }
            }
        }
        self
    }

    /// The router, and the document about it.
    pub(super) fn finish(self) -> (Router<Arc<O>>, OpenApi) {
        let Self {
            router,
            mut document,
            schemas,
        } = self;
        let components = document.components.get_or_insert_default();
        components.schemas.extend(schemas);
        (router, document)
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Patch => MethodFilter::PATCH,
        // No operation here is of another method.
        _ => MethodFilter::GET,
    }
}
