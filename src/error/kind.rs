//! The tree of error types: name, parent, status and the text the client sees.
//!
//! Names and texts are wire format (`error_handler` labels, log entries, the `Couper-Error`
//! header): they are never renamed.

use http::StatusCode;

/// Where `error_handler`s for a type have an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catch {
    /// Nowhere.
    Nowhere,
    /// In the access control of that name.
    AccessControl(&'static str),
    /// In any access control.
    AnyAccessControl,
    /// In `api` and `endpoint`.
    Api,
    /// In `endpoint`.
    Endpoint,
}

macro_rules! kinds {
    ($(#[doc = $docs:literal] $variant:ident = $name:expr, $parent:expr, $status:ident, $synopsis:expr, $catch:expr;)*) => {
        /// A kind of error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $docs] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// One line about it.
            pub fn docs(self) -> &'static str {
                match self { $(Self::$variant => $docs,)* }
            }

            /// The name for handlers and the log; `None` for kinds that have none.
            pub fn error_type(self) -> Option<&'static str> {
                match self { $(Self::$variant => $name,)* }
            }

            /// The kind it is a special case of.
            pub fn parent(self) -> Option<Self> {
                match self { $(Self::$variant => $parent,)* }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What the client is told.
            pub fn synopsis(self) -> &'static str {
                match self { $(Self::$variant => $synopsis,)* }
            }

            /// Where handlers for it have an effect.
            pub fn catch(self) -> Catch {
                match self { $(Self::$variant => $catch,)* }
            }
        }
    };
}

const ACCESS: &str = "access control error";
const BACKEND: &str = "backend error";
const ENDPOINT: &str = "endpoint error";

kinds! {
    /// An access control denied.
    AccessControl = Some("access_control"), None, FORBIDDEN, ACCESS, Catch::AnyAccessControl;
    /// Credentials of `basic_auth` are wrong.
    BasicAuth = Some("basic_auth"), Some(Self::AccessControl), UNAUTHORIZED, ACCESS, Catch::AccessControl("basic_auth");
    /// Credentials of `basic_auth` are missing.
    BasicAuthCredentialsMissing = Some("basic_auth_credentials_missing"), Some(Self::BasicAuth), UNAUTHORIZED, ACCESS, Catch::AccessControl("basic_auth");
    /// A `jwt` control denied.
    Jwt = Some("jwt"), Some(Self::AccessControl), UNAUTHORIZED, ACCESS, Catch::AccessControl("jwt");
    /// There is no token.
    JwtTokenMissing = Some("jwt_token_missing"), Some(Self::Jwt), UNAUTHORIZED, ACCESS, Catch::AccessControl("jwt");
    /// The token's time is over.
    JwtTokenExpired = Some("jwt_token_expired"), Some(Self::Jwt), UNAUTHORIZED, ACCESS, Catch::AccessControl("jwt");
    /// The token is no good.
    JwtTokenInvalid = Some("jwt_token_invalid"), Some(Self::Jwt), UNAUTHORIZED, ACCESS, Catch::AccessControl("jwt");
    /// Introspection says the token is not active.
    JwtTokenInactive = Some("jwt_token_inactive"), Some(Self::Jwt), UNAUTHORIZED, ACCESS, Catch::AccessControl("jwt");
    /// Keys or introspection cannot be had; the fault is not the token's.
    JwtUnavailable = Some("jwt_unavailable"), Some(Self::Jwt), SERVICE_UNAVAILABLE, ACCESS, Catch::AccessControl("jwt");
    /// An `access_token` control denied.
    AccessToken = Some("access_token"), Some(Self::AccessControl), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// There is no access token.
    AccessTokenMissing = Some("access_token_missing"), Some(Self::AccessToken), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// The access token is no good.
    AccessTokenInvalid = Some("access_token_invalid"), Some(Self::AccessToken), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// The access token's time is over.
    AccessTokenExpired = Some("access_token_expired"), Some(Self::AccessToken), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// The access token was revoked.
    AccessTokenRevoked = Some("access_token_revoked"), Some(Self::AccessToken), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// The access token is for somebody else.
    AccessTokenAudience = Some("access_token_audience"), Some(Self::AccessToken), UNAUTHORIZED, ACCESS, Catch::AccessControl("access_token");
    /// The access token lacks a scope.
    AccessTokenInsufficientScope = Some("access_token_insufficient_scope"), Some(Self::AccessToken), FORBIDDEN, ACCESS, Catch::AccessControl("access_token");
    /// Nobody can say whether the access token is good.
    AccessTokenStoreUnavailable = Some("access_token_store_unavailable"), Some(Self::AccessToken), SERVICE_UNAVAILABLE, ACCESS, Catch::AccessControl("access_token");
    /// An `api_key` control denied.
    ApiKey = Some("api_key"), Some(Self::AccessControl), UNAUTHORIZED, ACCESS, Catch::AccessControl("api_key");
    /// There is no API key.
    ApiKeyMissing = Some("api_key_missing"), Some(Self::ApiKey), UNAUTHORIZED, ACCESS, Catch::AccessControl("api_key");
    /// The API key is no good.
    ApiKeyInvalid = Some("api_key_invalid"), Some(Self::ApiKey), UNAUTHORIZED, ACCESS, Catch::AccessControl("api_key");
    /// The API key's time is over.
    ApiKeyExpired = Some("api_key_expired"), Some(Self::ApiKey), UNAUTHORIZED, ACCESS, Catch::AccessControl("api_key");
    /// The API key was used too often.
    ApiKeyQuota = Some("api_key_quota"), Some(Self::ApiKey), TOO_MANY_REQUESTS, ACCESS, Catch::AccessControl("api_key");
    /// An authorization code flow failed.
    OAuth2 = Some("oauth2"), Some(Self::AccessControl), FORBIDDEN, ACCESS, Catch::AccessControl("beta_oauth2");
    /// SAML denied.
    Saml2 = Some("saml2"), Some(Self::AccessControl), FORBIDDEN, ACCESS, Catch::AccessControl("saml");
    /// SAML denied.
    Saml = Some("saml"), Some(Self::Saml2), FORBIDDEN, ACCESS, Catch::AccessControl("saml");
    /// The external service denied.
    ExternalAuthz = Some("external_authz"), Some(Self::AccessControl), UNAUTHORIZED, ACCESS, Catch::AccessControl("beta_external_authz");
    /// The external service refused the credentials.
    ExternalAuthzInvalidCredentials = Some("external_authz_invalid_credentials"), Some(Self::ExternalAuthz), UNAUTHORIZED, ACCESS, Catch::AccessControl("beta_external_authz");
    /// The external service found the permissions wanting.
    ExternalAuthzInsufficientPermissions = Some("external_authz_insufficient_permissions"), Some(Self::ExternalAuthz), FORBIDDEN, ACCESS, Catch::AccessControl("beta_external_authz");
    /// Too many requests for a key.
    RateLimiter = Some("beta_rate_limiter"), Some(Self::AccessControl), TOO_MANY_REQUESTS, ACCESS, Catch::AccessControl("beta_rate_limiter");
    /// There is no key to count by.
    RateLimiterKey = Some("beta_rate_limiter_key"), Some(Self::RateLimiter), FORBIDDEN, ACCESS, Catch::AccessControl("beta_rate_limiter");
    /// A permission is missing.
    InsufficientPermissions = Some("insufficient_permissions"), Some(Self::AccessControl), FORBIDDEN, ACCESS, Catch::Api;
    /// The origin could not be asked or answered badly.
    Backend = Some("backend"), None, BAD_GATEWAY, BACKEND, Catch::Api;
    /// Request or response do not follow the OpenAPI document.
    BackendOpenapiValidation = Some("backend_openapi_validation"), Some(Self::Backend), BAD_GATEWAY, BACKEND, Catch::Api;
    /// The backend's `throttle` is exhausted.
    BackendThrottleExceeded = Some("backend_throttle_exceeded"), Some(Self::Backend), TOO_MANY_REQUESTS, BACKEND, Catch::Api;
    /// The origin did not answer in time.
    BackendTimeout = Some("backend_timeout"), Some(Self::Backend), GATEWAY_TIMEOUT, BACKEND, Catch::Api;
    /// The health check says no.
    BackendUnhealthy = Some("backend_unhealthy"), Some(Self::Backend), BAD_GATEWAY, BACKEND, Catch::Api;
    /// No token could be had for the backend.
    BackendTokenRequest = Some("beta_backend_token_request"), Some(Self::Backend), BAD_GATEWAY, BACKEND, Catch::Api;
    /// An endpoint failed.
    Endpoint = Some("endpoint"), None, BAD_GATEWAY, ENDPOINT, Catch::Endpoint;
    /// What a request waited for failed.
    Sequence = Some("sequence"), Some(Self::Endpoint), BAD_GATEWAY, ENDPOINT, Catch::Endpoint;
    /// A status that was not expected.
    UnexpectedStatus = Some("unexpected_status"), Some(Self::Endpoint), BAD_GATEWAY, ENDPOINT, Catch::Endpoint;
    /// An expression failed.
    Evaluation = Some("evaluation"), None, INTERNAL_SERVER_ERROR, "expression evaluation error", Catch::Nowhere;
    /// The configuration makes no sense for this request.
    Configuration = Some("configuration"), None, INTERNAL_SERVER_ERROR, "configuration error", Catch::Nowhere;
    /// The client's request is malformed or too large.
    ClientRequest = None, None, BAD_REQUEST, "client request error", Catch::Nowhere;
    /// Nothing is there.
    RouteNotFound = None, None, NOT_FOUND, "route not found error", Catch::Nowhere;
    /// The method is not allowed here.
    MethodNotAllowed = None, None, METHOD_NOT_ALLOWED, "method not allowed error", Catch::Nowhere;
    /// The request of a `request` block cannot be built.
    Request = None, None, BAD_GATEWAY, "request error", Catch::Nowhere;
    /// A fault of the gateway itself.
    Internal = None, None, INTERNAL_SERVER_ERROR, "internal server error", Catch::Nowhere;
    /// The process is ending.
    ServerShutdown = None, None, INTERNAL_SERVER_ERROR, "server shutdown error", Catch::Nowhere;
}

impl Kind {
    /// The kind of a type name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.error_type() == Some(name))
    }

    /// Whether the kind is `ancestor` or a special case of it.
    pub fn is_a(self, ancestor: Self) -> bool {
        std::iter::successors(Some(self), |kind| kind.parent()).any(|kind| kind == ancestor)
    }
}
