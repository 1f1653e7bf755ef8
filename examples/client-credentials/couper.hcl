# All three parties of the OAuth2 client credentials grant (RFC 6749, section 4.4) in one file.
# In earnest you keep the first server only, and the other two belong to someone else.

# The client: takes requests of its users and sends them on with an access token.
server "client" {
  hosts = ["localhost:8080"]

  api {
    endpoint "/foo" {
      proxy {
        backend {
          origin = "http://localhost:8081"
          path   = "/resource"

          oauth2 {
            grant_type     = "client_credentials"
            token_endpoint = "http://localhost:8082/token"
            client_id      = "my-client"
            client_secret  = "my-client-secret"
          }
        }
      }
    }
  }
}

# The resource server: answers requests that carry a token it trusts.
server "resource-server" {
  hosts = ["localhost:8081"]

  api {
    access_control = ["token"]

    endpoint "/resource" {
      response {
        json_body = { foo = 1 }
      }
    }
  }
}

# The authorization server: hands out tokens that live for ten seconds. It asks nobody for a
# password, which is fine for a demonstration and for nothing else.
server "authorization-server" {
  hosts = ["localhost:8082"]

  endpoint "/token" {
    response {
      json_body = {
        access_token = jwt_sign("token", {})
        token_type   = "Bearer"
        expires_in   = 10
      }
    }
  }
}

definitions {
  # How the authorization server signs ...
  jwt_signing_profile "token" {
    signature_algorithm = "HS256"
    key                 = "a shared secret of at least 32 bytes"
    ttl                 = "10s"
  }

  # ... and how the resource server checks.
  jwt "token" {
    signature_algorithm = "HS256"
    key                 = "a shared secret of at least 32 bytes"
  }
}
