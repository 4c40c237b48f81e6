//! Limits: a hoop that lets a caller use a route only so often, and the headers that tell him.

use std::time::Duration;

use salvo::http::HeaderMap;
use salvo::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Writer, async_trait};

use super::answer::Failure;
use super::extract::{address_of, app_of, caller_if_any};
use crate::config::{Config, Limit};
use crate::domain::limits::Who;

/// Counts the requests for one route before its handler sees them: no body was read and nothing hashed. Answers carry
/// `RateLimit-Limit`, `-Remaining` and `-Reset`, the refused ones `Retry-After`, too (RFC 9110 §10.2.3), all in
/// seconds.
#[derive(Debug)]
pub struct Limited {
    route: &'static str,
    limit: fn(&Config) -> Limit,
    by_user: bool,
}

impl Limited {
    /// Counts by the client's address, also where a token comes along: somebody with many accounts has no more for it.
    /// The name is the route's own, whatever path leads there, and the limit the one that the settings have.
    pub fn by_address(route: &'static str, limit: fn(&Config) -> Limit) -> Self {
        Self { route, limit, by_user: false }
    }

    /// Counts by the user whose good access token came along, else by the client's address.
    pub fn by_user(route: &'static str, limit: fn(&Config) -> Limit) -> Self {
        Self { route, limit, by_user: true }
    }

    fn admit(&self, request: &Request, depot: &Depot, headers: &mut HeaderMap) -> Result<(), Failure> {
        let app = app_of(depot)?;
        let limit = (self.limit)(&app.config);
        if limit == Limit::Off {
            return Ok(());
        }
        let caller = if self.by_user { caller_if_any(request, app)? } else { None };
        let who = match caller {
            Some(caller) => Who::User(caller.id()),
            None => address_of(depot)?.into(),
        };
        if let Some(left) = app.limiter.take(self.route, who, limit)? {
            tell(headers, left.count, left.remaining, left.reset);
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Limited {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        ctrl: &mut FlowCtrl,
    ) {
        if let Err(failure) = self.admit(request, depot, response.headers_mut()) {
            failure.write(request, depot, response).await;
            ctrl.skip_rest();
        }
    }
}

/// `2 per 1 minute`.
pub(super) fn in_words(count: u32, per_seconds: u32) -> String {
    let window = match per_seconds {
        1 => "1 second",
        60 => "1 minute",
        3_600 => "1 hour",
        86_400 => "1 day",
        _ => return format!("{count} per {per_seconds} seconds"),
    };
    format!("{count} per {window}")
}

/// The headers of a refusal: of `count` requests none is left until `wait` is over.
pub(super) fn refuse(headers: &mut HeaderMap, count: u32, wait: Duration) {
    tell(headers, count, 0, wait);
    headers.insert(RETRY_AFTER, seconds(wait));
}

fn tell(headers: &mut HeaderMap, count: u32, remaining: u32, reset: Duration) {
    headers.insert(HeaderName::from_static("ratelimit-limit"), count.into());
    headers.insert(HeaderName::from_static("ratelimit-remaining"), remaining.into());
    headers.insert(HeaderName::from_static("ratelimit-reset"), seconds(reset));
}

/// Rounded up: who waits so long has waited long enough.
fn seconds(wait: Duration) -> HeaderValue {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1).into()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::future::join_all;
    use salvo::conn::ConnCtrl;
    use salvo::http::header::{AUTHORIZATION, COOKIE, HOST};
    use salvo::http::uri::Scheme;
    use salvo::http::{Method, ResBody, StatusCode};
    use salvo::oapi::endpoint;
    use salvo::{Router, Service, handler};
    use tempfile::TempDir;

    use super::*;
    use crate::app::App;
    use crate::clock::{Clock, Timestamp};
    use crate::domain::auth::passwords::Password;
    use crate::domain::auth::{Caller, SignIn};
    use crate::domain::emails::Email;
    use crate::domain::users::{self, Login, NewUser};
    use crate::http::answer::{Created, Message};
    use crate::http::hoops::Edge;
    use crate::http::resource::at;

    const PASSWORD: &str = "correct horse battery staple";

    #[handler]
    async fn create() -> Created<Message> {
        Created(Message::new("made"))
    }

    #[endpoint]
    async fn find(_caller: Caller) -> Created<Message> {
        Created(Message::new("found"))
    }

    /// Two resources with a limit and one without, behind the house's edge, with a clock that stands still.
    struct House {
        _dir: TempDir,
        app: App,
        clock: Clock,
        service: Service,
    }

    impl House {
        fn with(settle: impl FnOnce(&mut Config)) -> Self {
            let dir = TempDir::new().unwrap();
            let mut config = Config::default();
            config.server.data = dir.path().join("data");
            config.auth.hash_memory_kib = 64;
            config.auth.hash_iterations = 1;
            settle(&mut config);
            let clock = Clock::held(Timestamp::from_micros(1_795_237_599_560_803));
            let app = App::open(config, clock.clone()).unwrap();
            let things = at("things")
                .post(create)
                .limited_by_user(("create_thing", |config| config.contactbook.limits.create_contact))
                .get(find)
                .limited_by_user(("find_thing", |config| config.contactbook.limits.find_contact))
                .delete(create);
            let router = Router::with_path("api").push(things.into());
            let service = Service::new(router).hoop(Edge::new(app.clone(), &[]));
            Self { _dir: dir, app, clock, service }
        }

        fn new() -> Self {
            Self::with(|_| {})
        }

        fn wait(&self, seconds: u64) {
            self.clock.advance(Duration::from_secs(seconds));
        }

        async fn send(
            &self,
            method: Method,
            path: &str,
            from: &str,
            headers: &[(HeaderName, &str)],
        ) -> Answer {
            let mut request = Request::new();
            *request.method_mut() = method;
            *request.uri_mut() = format!("http://127.0.0.1{path}").parse().unwrap();
            let peer: IpAddr = from.parse().unwrap();
            *request.remote_addr_mut() = std::net::SocketAddr::from((peer, 50_000)).into();
            request.headers_mut().insert(HOST, HeaderValue::from_static("127.0.0.1"));
            for (name, value) in headers {
                request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
            }
            let (local, remote) = (request.local_addr().clone(), request.remote_addr().clone());
            let server =
                self.service.hyper_handler(local, remote, Scheme::HTTP, None, ConnCtrl::default(), None);
            let response = server.handle(request).await;
            let status = response.status_code.unwrap().as_u16();
            let text = match &response.body {
                ResBody::Once(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                _ => String::new(),
            };
            let header =
                |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let told = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(header);
            let told = told.map(|value| value.unwrap_or_default()).join(" ");
            Answer { status, text, told, retry_after: header("retry-after") }
        }

        async fn post(&self, from: &str) -> Answer {
            self.send(Method::POST, "/api/things", from, &[]).await
        }

        /// Registers somebody who signs in; the access token as a header has it.
        async fn token(&self, name: &str) -> String {
            let hash = self.app.auth.hasher().hash(Password::new(PASSWORD.into()), None).await.unwrap();
            let email = format!("{name}@example.com");
            let email = Email::parse(&email, true).unwrap();
            let login = Login::Email(email.as_str().to_owned());
            let new = NewUser::new(self.clock.new_id(), email);
            self.app.db.write(move |db| users::create(db, &new, &hash)).await.unwrap();
            let address = "10.9.9.9".parse().unwrap();
            let given = SignIn { login, password: Password::new(PASSWORD.into()), address };
            let lifetimes = self.app.config.contactbook.lifetimes();
            let tokens = self.app.auth.sign_in(&self.app.db, given, lifetimes).await.unwrap();
            format!("Bearer {}", tokens.access)
        }
    }

    #[derive(Debug, PartialEq)]
    struct Answer {
        status: u16,
        text: String,
        /// Limit, remaining, and reset.
        told: String,
        retry_after: Option<String>,
    }

    impl Answer {
        #[track_caller]
        fn is_made(&self, told: &str) {
            assert_eq!((self.status, self.told.as_str(), &self.retry_after), (201, told, &None), "{self:?}");
        }

        #[track_caller]
        fn is_refused(&self, wait: u64) {
            assert_eq!(self.status, StatusCode::TOO_MANY_REQUESTS, "{self:?}");
            assert!(self.text.contains("Rate limit exceeded: 2 per 1 minute"), "{}", self.text);
            assert_eq!(self.told, format!("2 0 {wait}"));
            assert_eq!(self.retry_after, Some(wait.to_string()));
        }
    }

    #[tokio::test]
    async fn the_third_of_two_a_minute_is_refused_until_the_minute_is_over() {
        let house = House::new();
        for _ in 0..2 {
            house.post("10.0.0.1").await.is_made("2 1 60");
            house.wait(20);
            house.post("10.0.0.1").await.is_made("2 0 40");
            house.post("10.0.0.1").await.is_refused(40);
            house.wait(39);
            house.post("10.0.0.1").await.is_refused(1);
            house.post("10.0.0.2").await.is_made("2 1 60");
            house.wait(61);
        }
    }

    #[tokio::test]
    async fn a_part_of_a_second_is_waited_for_as_a_whole_one() {
        let house = House::new();
        house.post("10.0.0.1").await;
        house.clock.advance(Duration::from_millis(100));
        house.post("10.0.0.1").await.is_made("2 0 60");
        house.clock.advance(Duration::from_millis(59_800));
        house.post("10.0.0.1").await.is_refused(1);
        house.clock.advance(Duration::from_millis(100));
        house.post("10.0.0.1").await.is_made("2 1 60");
    }

    #[tokio::test]
    async fn every_way_to_write_a_path_is_counted_together_and_other_methods_are_not() {
        let paths = [
            "/api/things",
            "/api/things/",
            "//api/things",
            "/api//things",
            "/api/things?a=1",
            "/api/things/?",
        ];
        let house = House::new();
        for first in paths {
            for second in paths {
                house.wait(60);
                house.send(Method::POST, first, "10.0.0.1", &[]).await.is_made("2 1 60");
                house.send(Method::POST, second, "10.0.0.1", &[]).await.is_made("2 0 60");
                for third in paths {
                    house.send(Method::POST, third, "10.0.0.1", &[]).await.is_refused(60);
                }
                house.send(Method::DELETE, first, "10.0.0.1", &[]).await.is_made("  ");
                let options = house.send(Method::OPTIONS, first, "10.0.0.1", &[]).await;
                assert_eq!((options.status, options.told.as_str()), (204, "  "));
            }
        }
    }

    #[tokio::test]
    async fn a_user_is_counted_wherever_he_is_and_his_neighbours_are_not() {
        let house = House::new();
        let (ada, bob) = (house.token("ada").await, house.token("bob").await);
        let post = async |from: &str, token: &str| {
            house.send(Method::POST, "/api/things", from, &[(AUTHORIZATION, token)]).await
        };
        post("10.0.0.1", &ada).await.is_made("2 1 60");
        post("10.0.0.2", &ada.replace("Bearer", "bearer ")).await.is_made("2 0 60");
        post("10.0.0.3", &ada).await.is_refused(60);
        post("10.0.0.1", &bob).await.is_made("2 1 60");
        // What is no good token makes no new caller.
        for (token, told) in [("Bearer x", "2 1 60"), ("Bearer", "2 0 60")] {
            post("10.0.0.1", token).await.is_made(told);
        }
        for token in ["Bearer y", "Basic eDp5", &format!("{ada}x")] {
            post("10.0.0.1", token).await.is_refused(60);
        }
    }

    #[tokio::test]
    async fn a_stranger_is_told_before_he_is_asked_who_he_is() {
        let house = House::with(|config| config.contactbook.limits.find_contact = Limit::per_minute(2));
        for told in ["2 1 60", "2 0 60"] {
            let refused = house.send(Method::HEAD, "/api/things", "10.0.0.1", &[]).await;
            assert_eq!((refused.status, refused.told.as_str()), (401, told));
        }
        house.send(Method::GET, "/api/things", "10.0.0.1", &[]).await.is_refused(60);
    }

    #[tokio::test]
    async fn no_header_makes_another_client_unless_a_trusted_proxy_wrote_it() {
        let forwarded = HeaderName::from_static("x-forwarded-for");
        let house =
            House::with(|config| config.server.trusted_proxies.0 = vec!["10.1.0.0/16".parse().unwrap()]);
        let post = async |from: &str, name: &HeaderName, value: &str| {
            house.send(Method::POST, "/api/things", from, &[(name.clone(), value)]).await
        };
        for told in ["2 1 60", "2 0 60"] {
            house.post("10.0.0.1").await.is_made(told);
        }
        for name in ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip"] {
            let name = HeaderName::from_static(name);
            post("10.0.0.1", &name, "192.0.2.1").await.is_refused(60);
        }
        post("10.0.0.1", &COOKIE, "a=b").await.is_refused(60);
        post("10.1.0.1", &forwarded, "192.0.2.1").await.is_made("2 1 60");
        post("10.1.0.2", &forwarded, "192.0.2.7, 192.0.2.1").await.is_made("2 0 60");
        post("10.1.0.1", &forwarded, "192.0.2.1").await.is_refused(60);
        post("10.1.0.1", &forwarded, "192.0.2.2").await.is_made("2 1 60");
        // A subscriber's many addresses are one.
        for (from, told) in [("2001:db8:1:2::1", "2 1 60"), ("2001:db8:1:2::2", "2 0 60")] {
            house.post(from).await.is_made(told);
        }
        house.post("2001:db8:1:2:ffff::3").await.is_refused(60);
        house.post("2001:db8:1:3::1").await.is_made("2 1 60");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_burst_at_once_does_not_slip_through() {
        let house = House::with(|config| config.contactbook.limits.create_contact = Limit::per_minute(10));
        let answers = join_all((0..100).map(|_| house.post("10.0.0.1"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
        assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 90);
    }

    #[tokio::test]
    async fn off_is_no_limit() {
        let house = House::with(|config| config.contactbook.limits.create_contact = Limit::Off);
        for _ in 0..50 {
            house.post("10.0.0.1").await.is_made("  ");
        }
    }

    #[test]
    fn a_limit_is_told_in_the_words_that_clients_know() {
        for (limit, expected) in [
            ("2/minute", "2 per 1 minute"),
            ("1/second", "1 per 1 second"),
            ("1000000/hour", "1000000 per 1 hour"),
            ("5/day", "5 per 1 day"),
        ] {
            let Limit::Rate { count, per_seconds } = limit.parse().unwrap() else { panic!("{limit}") };
            assert_eq!(in_words(count, per_seconds), expected);
        }
    }
}
