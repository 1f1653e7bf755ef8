# Users log in with a SAML identity provider; a signed cookie keeps the session.

server "app" {
  hosts          = ["*:8080"]
  access_control = ["session"]

  endpoint "/" {
    response {
      json_body = {
        hello  = request.context.session.sub
        groups = request.context.session.groups
      }
    }
  }

  # The assertion consumer service: the browser posts the provider's answer to it.
  endpoint "/acs" {
    disable_access_control = ["session"]
    access_control         = ["sso"]
    allowed_methods        = ["POST"]

    response {
      status = 303
      headers = {
        location = "/"
        set-cookie = [
          "session=${jwt_sign("session", {
            sub    = request.context.sso.sub
            groups = request.context.sso.attributes.groups
          })}; HttpOnly; SameSite=Lax; Path=/",
          "verifier=; Max-Age=0; Secure; SameSite=None; Path=/acs",
        ]
      }
    }
  }
}

definitions {
  # The verifier comes back with a request of another site, so its cookie is `SameSite=None`.
  jwt "session" {
    cookie              = "session"
    signature_algorithm = "HS256"
    key                 = env.SESSION_SECRET
    signing_ttl         = "1h"

    error_handler "jwt" {
      response {
        status = 303
        headers = {
          location      = saml_sso_url("sso")
          set-cookie    = "verifier=${oauth2_verifier()}; HttpOnly; Secure; SameSite=None; Path=/acs"
          cache-control = "no-store"
        }
      }
    }
  }

  saml "sso" {
    idp_metadata_url = env.SAML_METADATA_URL
    sp_entity_id     = "my-app"
    sp_acs_url       = "/acs"
    array_attributes = ["groups"]
    verifier_value   = request.cookies.verifier
    reject_replays   = true
  }
}

defaults {
  environment_variables = {
    SAML_METADATA_URL = "http://localhost:9000/metadata"
    SESSION_SECRET    = "change me: at least thirty-two bytes"
  }
}
