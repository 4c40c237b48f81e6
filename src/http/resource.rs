//! Resources: a path with its methods. HEAD rides with a GET that only reads, and OPTIONS answers what there is.

use salvo::http::{Method, StatusCode};
use salvo::routing::{Filter, FilterInfo, PathState};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};

use super::answer::allow;
use super::limits::Limited;
use crate::config::{Config, Limit};

/// A path that is being given its methods.
#[derive(Debug)]
pub struct Resource {
    path: String,
    methods: Vec<&'static str>,
    routers: Vec<Router>,
}

/// Begins a resource at this path; `{name}` is a parameter.
pub fn at(path: impl Into<String>) -> Resource {
    Resource { path: path.into(), methods: Vec::new(), routers: Vec::new() }
}

impl Resource {
    /// Answers GET, and HEAD with the same headers.
    #[must_use]
    pub fn get(self, goal: impl Handler) -> Self {
        self.add(&["GET", "HEAD"], Router::with_filter(GetOrHead).goal(goal))
    }

    /// Answers GET alone: it changes something, and HEAD must not (RFC 9110 §9.2.1).
    #[must_use]
    pub fn get_only(self, goal: impl Handler) -> Self {
        self.add(&["GET"], Router::new().get(goal))
    }

    /// Answers POST.
    #[must_use]
    pub fn post(self, goal: impl Handler) -> Self {
        self.add(&["POST"], Router::new().post(goal))
    }

    /// Answers PUT.
    #[must_use]
    pub fn put(self, goal: impl Handler) -> Self {
        self.add(&["PUT"], Router::new().put(goal))
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch(self, goal: impl Handler) -> Self {
        self.add(&["PATCH"], Router::new().patch(goal))
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete(self, goal: impl Handler) -> Self {
        self.add(&["DELETE"], Router::new().delete(goal))
    }

    /// Limits the method that was named last, by the client's address: see [`Limited`]. The route's name among all
    /// routes, such as the handler, and the setting.
    #[must_use]
    pub fn limited(self, (route, limit): (&'static str, fn(&Config) -> Limit)) -> Self {
        self.hoop(Limited::by_address(route, limit))
    }

    /// The same by user, for a method that demands a token.
    #[must_use]
    pub fn limited_by_user(self, (route, limit): (&'static str, fn(&Config) -> Limit)) -> Self {
        self.hoop(Limited::by_user(route, limit))
    }

    fn hoop(mut self, limited: Limited) -> Self {
        let last = self.routers.pop().expect("a method is named before its limit");
        self.routers.push(last.hoop(limited));
        self
    }

    fn add(mut self, methods: &[&'static str], router: Router) -> Self {
        self.methods.extend(methods);
        self.routers.push(router);
        self
    }
}

impl From<Resource> for Router {
    fn from(mut resource: Resource) -> Self {
        resource.methods.push("OPTIONS");
        let options = Router::new().options(Allowed(resource.methods.join(", ")));
        // The path of the group itself, which is nothing more: salvo does not like to be told.
        let router = if resource.path == "/" { Router::new() } else { Router::with_path(resource.path) };
        resource.routers.into_iter().chain([options]).fold(router, Router::push)
    }
}

/// Answers OPTIONS with the methods there are (RFC 9110 §9.3.7).
struct Allowed(String);

#[async_trait]
impl Handler for Allowed {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        allow(response, &self.0);
        response.status_code(StatusCode::NO_CONTENT);
    }
}

/// Lets GET and HEAD through; the document tells of GET alone.
#[derive(Debug)]
struct GetOrHead;

impl GetOrHead {
    fn fits(method: &Method) -> bool {
        method == Method::GET || method == Method::HEAD
    }
}

#[async_trait]
impl Filter for GetOrHead {
    fn info(&self) -> FilterInfo {
        FilterInfo::Method(Method::GET)
    }

    fn collect_methods(&self, methods: &mut Vec<Method>) {
        methods.extend([Method::GET, Method::HEAD]);
    }

    async fn filter_for_method(
        &self,
        _: &mut Request,
        _: &mut PathState<'_>,
        method: &Method,
    ) -> Option<bool> {
        Some(Self::fits(method))
    }

    async fn filter(&self, request: &mut Request, _: &mut PathState<'_>) -> bool {
        Self::fits(request.method())
    }
}
