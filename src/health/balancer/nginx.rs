//! nginx: a file for `conf.d/`, inside `http { }`.

use super::settings::{Affinity, Balancer, Upstream};

pub fn render(balancer: &Balancer, upstreams: &[Upstream]) -> String {
    let mut text = String::from("# Rendered by SLBP_Scalability_Manager. Include it inside http { }.\n\n");
    if balancer.affinity == Affinity::Cookie {
        text.push_str(LOGIN_COOKIE);
    }
    text.push_str("upstream slbp_backend {\n");
    match balancer.affinity {
        Affinity::None => text.push_str("    least_conn;\n"),
        Affinity::Ip => text.push_str("    ip_hash;\n"),
        Affinity::Cookie => text.push_str("    hash $slbp_visitor consistent;\n"),
    }
    for upstream in upstreams {
        text.push_str(&format!(
            "    server {} max_fails={} fail_timeout={}s;\n",
            upstream.address, balancer.fall, balancer.interval
        ));
    }
    text.push_str(&format!("    keepalive {};\n}}\n\n", balancer.keepalive));
    let name = balancer.host.as_deref().unwrap_or("_");
    text.push_str(&format!("server {{\n    listen 80;\n    server_name {name};\n\n"));
    text.push_str(&location("/", balancer));
    text.push_str(&format!("\n    # The same answer at a short address, for whatever watches this balancer.\n    location = /health {{\n        proxy_pass http://slbp_backend{};\n        proxy_set_header Host $host;\n        proxy_next_upstream error timeout http_502 http_503 http_504;\n        access_log off;\n    }}\n}}\n", balancer.health));
    text
}

fn location(path: &str, balancer: &Balancer) -> String {
    // Only what has not reached a node, or changes nothing, is asked of the next one: a payment that
    // was sent to a node that then died is not sent again.
    format!(
        "    location {path} {{\n        proxy_pass http://slbp_backend;\n        proxy_http_version 1.1;\n        \
         proxy_set_header Connection \"\";\n        proxy_set_header Host $http_host;\n        \
         proxy_set_header X-Real-IP $remote_addr;\n        \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n        \
         proxy_set_header X-Forwarded-Proto $scheme;\n        proxy_connect_timeout {}s;\n        \
         proxy_read_timeout {}s;\n        proxy_next_upstream error timeout http_502 http_503 http_504;\n        \
         proxy_next_upstream_tries 3;\n        proxy_next_upstream_timeout 10s;\n    }}\n",
        balancer.connect_timeout, balancer.read_timeout
    )
}

/// Visitors who are logged in by their cookie, all others by their address.
const LOGIN_COOKIE: &str = "\
map $http_cookie $slbp_visitor {
    default $remote_addr;
    \"~wordpress_logged_in_[0-9a-f]+=(?<slbp_login>[^;]+)\" $slbp_login;
}

";
