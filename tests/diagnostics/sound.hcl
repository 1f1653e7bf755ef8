server "shop" {
  hosts = ["shop.example:8080", "*:8081"]
  base_path = "/v1"
  access_control = ["people"]
  set_response_headers = {
    x-served-by = "shop"
  }
  api "goods" {
    base_path = "/goods"
    allowed_methods = ["GET", "POST"]
    add_response_headers = {
      vary = "accept"
    }
    endpoint "/list/{kind}" {
      disable_access_control = ["people"]
      access_control = ["tokens"]
      request_body_limit = "1MiB"
      required_permission = "read"
      custom_log_fields = {
        kind = request.path_params.kind
      }
      proxy {
        backend = "stock"
        expected_status = [200]
        set_request_headers = {
          x-kind = request.path_params.kind
        }
        set_query_params = {
          q = "all"
        }
      }
    }
    endpoint "/orders" {
      required_permission = ""
      allowed_methods = ["POST"]
      set_response_status = 201
      request "price" {
        url = "https://prices.example/of"
        method = "GET"
        query_params = {
          id = request.json_body.id
        }
        headers = {
          accept = "application/json"
        }
        backend {
          origin = "https://prices.example"
          connect_timeout = "2s"
          ttfb_timeout = "3s"
          timeout = "4s"
          disable_certificate_validation = false
          disable_connection_reuse = true
          max_connections = 10
        }
      }
      request "order" {
        url = "/orders"
        method = "POST"
        backend = "stock"
        json_body = {
          price = backend_responses.price.json_body.value
        }
      }
      response {
        status = 201
        headers = {
          x-order = backend_responses.order.headers.location
        }
        json_body = {
          done = true
        }
      }
    }
  }
  endpoint "/token" {
    allowed_methods = ["POST"]
    disable_access_control = ["people"]
    response {
      status = 200
      json_body = {
        access_token = jwt_sign("issued", {})
      }
    }
  }
  endpoint "/hello" {
    remove_response_headers = ["x-served-by"]
    response {
      status = 200
      body = "hello"
    }
  }
}
definitions {
  backend "stock" {
    origin = "http://stock.example:9000"
    hostname = "stock"
    path_prefix = "/internal"
    connect_timeout = "1s"
    ttfb_timeout = "10s"
    timeout = "20s"
    http2 = true
    oauth2 {
      grant_type = "client_credentials"
      token_endpoint = "https://login.example/token"
      token_endpoint_auth_method = "client_secret_post"
      client_id = "shop"
      client_secret = env.SHOP_SECRET
      scope = "stock"
      retries = 2
    }
    beta_token_request {
      url = "https://login.example/session"
      method = "PUT"
      form_body = { user = "shop" }
      headers = { x-shop = "1" }
      query_params = { a = "1" }
      expected_status = [200]
      token = beta_token_response.json_body.token
      ttl = "10m"
    }
  }
  basic_auth "people" {
    user = "anna"
    password = env.PASSWORD
    realm = "shop"
  }
  jwt "tokens" {
    bearer = true
    signature_algorithm = "HS256"
    key = "0123456789abcdef0123456789abcdef"
    required_claims = ["sub"]
    permissions_claim = "scope"
    claims = {
      iss = "shop"
    }
  }
  jwt_signing_profile "issued" {
    signature_algorithm = "HS256"
    key = "0123456789abcdef0123456789abcdef"
    ttl = "5m"
    claims = {
      iss = "shop"
    }
  }
}
settings {
  default_port = 8080
  health_path = "/health"
  log_format = "json"
  log_level = "info"
  log_pretty = false
  request_id_format = "uuid4"
  secure_cookies = "strip"
  no_proxy_from_env = true
  xfh = false
}
defaults {
  environment_variables = {
    SHOP_SECRET = "for tests"
    PASSWORD = "for tests"
  }
}
