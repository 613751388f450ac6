//! Routes and their documentation, from one place: a handler is added together with what `utoipa::path` wrote down about it,
//! whose method and path are the ones that it is then reached by.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::{HttpMethod, Operation, PathItem};
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
    pub(super) fn add<P, H, T>(self, documented: P, handler: H) -> Self
    where
        P: utoipa::Path + SchemaReferences + Tags<'static>,
        H: Handler<T, Arc<O>>,
        T: 'static,
    {
        let tags = P::tags().into_iter().map(str::to_owned).collect();
        self.insert(&P::path(), tags, documented, handler, P::operation())
    }

    /// Adds an operation of organisations that the operator has for the installation, at a path and under a name of its own.
    pub(super) fn add_for_operator<P, H, T>(self, path: &str, name: &str, documented: P, handler: H) -> Self
    where
        P: utoipa::Path + SchemaReferences,
        H: Handler<T, Arc<O>>,
        T: 'static,
    {
        let mut operation = P::operation();
        operation.operation_id = Some(name.to_owned());
        self.insert(path, vec!["Operator".to_owned()], documented, handler, operation)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a handler is given away, and its documentation is a type"
    )]
    fn insert<P, H, T>(
        mut self,
        path: &str,
        tags: Vec<String>,
        _documented: P,
        handler: H,
        operation: Operation,
    ) -> Self
    where
        P: utoipa::Path + SchemaReferences,
        H: Handler<T, Arc<O>>,
        T: 'static,
    {
        P::schemas(&mut self.schemas);
        for method in P::methods() {
            let mut operation = openapi::complete(path, &method, operation.clone());
            operation.tags = Some(tags.clone());
            self.router = self.router.route(path, on(filter(&method), handler.clone()));
            let item = PathItem::new(method, operation);
            match self.document.paths.paths.get_mut(path) {
                Some(known) => known.merge_operations(item),
                None => {
                    self.document.paths.paths.insert(path.to_owned(), item);
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
