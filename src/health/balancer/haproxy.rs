//! HAProxy: a whole file, checked by asking the readiness probe of each node.

use super::settings::{Affinity, Balancer, Upstream};

pub fn render(balancer: &Balancer, upstreams: &[Upstream]) -> String {
    let Balancer { connect_timeout, read_timeout, interval, check_timeout, fall, rise, .. } = balancer;
    let host = balancer.host.as_deref().unwrap_or("localhost");
    let mut text = format!(
        "# Rendered by SLBP_Scalability_Manager.\n\
         defaults\n    mode http\n    option httplog\n    option forwardfor\n    option redispatch\n    retries 2\n    \
         retry-on conn-failure empty-response 502 503 504\n    timeout connect {connect_timeout}s\n    timeout client {read_timeout}s\n    \
         timeout server {read_timeout}s\n    timeout check {check_timeout}s\n    timeout http-keep-alive 15s\n\n\
         frontend slbp\n    bind :80\n    default_backend slbp_backend\n\n\
         backend slbp_backend\n    balance {}\n    http-reuse safe\n    \
         # What is not known to be without effect is not sent twice.\n    \
         http-request disable-l7-retry unless METH_GET or METH_HEAD\n    \
         option httpchk\n    http-check send meth GET uri {} hdr Host {host}\n    http-check expect status 200\n",
        if balancer.affinity == Affinity::Ip { "source" } else { "leastconn" },
        balancer.probe,
    );
    let keeps_cookie = balancer.affinity == Affinity::Cookie;
    if keeps_cookie {
        text.push_str(&format!("    cookie {} insert indirect nocache httponly\n", balancer.cookie));
    }
    text.push_str(&format!(
        "    default-server check inter {interval}s fall {fall} rise {rise} pool-max-conn {}\n",
        balancer.keepalive
    ));
    for (at, upstream) in upstreams.iter().enumerate() {
        let number = at + 1;
        let cookie = if keeps_cookie { format!(" cookie node{number}") } else { String::new() };
        text.push_str(&format!("    server node{number} {}{cookie}\n", upstream.address));
    }
    text
}
