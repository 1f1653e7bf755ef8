# An API behind three access controls: a token with permissions, a rate limit for each of its
# holders, and a service that has the last word. See README.md.

server "gateway" {
  hosts = ["localhost:8080"]

  # Stands for the issuer of tokens, so that there are some to try.
  endpoint "/token/{user}" {
    response {
      headers = { content-type = "text/plain" }
      body = jwt_sign("token", {
        sub  = request.path_params.user
        role = request.path_params.user == "ann" ? "editor" : "reader"
      })
    }
  }

  api {
    base_path      = "/notes"
    access_control = ["token", "limit", "house_rules"]

    endpoint "/**" {
      required_permission = {
        get    = "notes:read"
        delete = "notes:write"
        "*"    = "notes:write"
      }
      proxy {
        backend = "notes"
        set_request_headers = {
          x-user = request.context.token.sub
          x-note = request.context.house_rules.note
        }
      }
    }
  }
}

definitions {
  jwt "token" {
    signature_algorithm = "HS256"
    key                 = env.TOKEN_KEY
    signing_ttl         = "5m"
    claims = {
      iss = "https://issuer.example"
      aud = "notes"
    }
    required_claims = ["exp", "sub"]

    roles_claim = "role"
    roles_map = {
      reader = ["notes:read"]
      editor = ["notes:read", "notes:write"]
    }
  }

  rate_limiter "limit" {
    period     = "1m"
    per_period = 3
    key        = request.context.token.sub
  }

  external_authz "house_rules" {
    url = "http://localhost:8082/decide"
  }

  backend "notes" {
    origin = "http://localhost:8081"
  }
}

# Stands for the API.
server "notes" {
  hosts = ["localhost:8081"]
  endpoint "/**" {
    response {
      json_body = {
        method = request.method
        user   = request.headers.x-user
        note   = request.headers.x-note
      }
    }
  }
}

# Stands for the service that decides.
server "decisions" {
  hosts = ["localhost:8082"]
  endpoint "/decide" {
    response {
      status = request.json_body.client_request.headers.X-Maintenance == null ? 200 : 403
      json_body = {
        note = "asked about ${request.json_body.client_request.method}"
      }
    }
  }
}

defaults {
  environment_variables = {
    # For trying only: in earnest it comes from the environment.
    TOKEN_KEY = "thirty-two bytes of a secret key"
  }
}
