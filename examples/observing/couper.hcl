server "shop" {
  hosts = ["*:8080"]

  endpoint "/orders/{id}" {
    proxy {
      backend = "orders"
    }
  }

  endpoint "/broken" {
    proxy {
      backend = "nowhere"
    }
  }
}

# Stands for the service behind.
server "orders" {
  hosts = ["*:8081"]

  endpoint "/**" {
    response {
      json_body = { path = request.path }
    }
  }
}

definitions {
  backend "orders" {
    origin = "http://localhost:8081"
  }

  # Nothing listens there.
  backend "nowhere" {
    origin          = "http://localhost:1"
    connect_timeout = "1s"
  }
}

settings {
  log_format        = "json"
  beta_metrics      = true
  beta_metrics_port = 9090
  beta_service_name = "shop"

  # Traces go to the collector of compose.yaml, if it runs.
  beta_traces = true
}
