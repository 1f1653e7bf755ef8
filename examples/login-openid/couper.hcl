# Users log in with an OpenID provider; a signed cookie keeps the session.

server "app" {
  hosts          = ["*:8080"]
  access_control = ["session"]

  endpoint "/" {
    response {
      json_body = {
        hello = request.context.session.sub
        email = request.context.session.email
      }
    }
  }

  # The provider sends the browser back to here, with a code.
  endpoint "/callback" {
    disable_access_control = ["session"]
    access_control         = ["login"]

    response {
      status = 303
      headers = {
        location = "/"
        set-cookie = [
          "session=${jwt_sign("session", {
            sub   = request.context.login.id_token_claims.sub
            email = request.context.login.userinfo.email
          })}; HttpOnly; SameSite=Lax; Path=/",
          "verifier=; Max-Age=0; Path=/callback",
        ]
      }
    }
  }

  endpoint "/logout" {
    disable_access_control = ["session"]

    response {
      body = "bye"
      headers = {
        set-cookie = "session=; Max-Age=0; Path=/"
      }
    }
  }
}

definitions {
  # Who has no good session is sent to the provider. The verifier stays in the browser, so that
  # the answer is of use to this browser alone.
  jwt "session" {
    cookie              = "session"
    signature_algorithm = "HS256"
    key                 = env.SESSION_SECRET
    signing_ttl         = "1h"

    error_handler "jwt" {
      response {
        status = 303
        headers = {
          location      = oauth2_authorization_url("login")
          set-cookie    = "verifier=${oauth2_verifier()}; HttpOnly; SameSite=Lax; Path=/callback"
          cache-control = "no-store"
        }
      }
    }
  }

  oidc "login" {
    configuration_url = "${env.OIDC_ISSUER}/.well-known/openid-configuration"
    client_id         = env.OIDC_CLIENT_ID
    client_secret     = env.OIDC_CLIENT_SECRET
    redirect_uri      = "/callback"
    scope             = "email"
    verifier_value    = request.cookies.verifier

    # Also when the user says no.
    error_handler "oauth2" {
      response {
        status = 403
        body   = "You could not be logged in."
      }
    }
  }
}

defaults {
  environment_variables = {
    OIDC_ISSUER        = "http://localhost:9000"
    OIDC_CLIENT_ID     = "my-app"
    OIDC_CLIENT_SECRET = "my-app-secret"
    SESSION_SECRET     = "change me: at least thirty-two bytes"
  }
}
