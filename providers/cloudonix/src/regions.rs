//! Where Cloudonix takes SIP: each domain has a host in each region.

/// One place. Signalling from Cloudonix comes from its edge, and trunks send to it.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) name: &'static str,
    /// What follows the domain's UUID in host names.
    pub(crate) suffix: &'static str,
    /// UDP and TCP.
    pub(crate) sip_port: u16,
    pub(crate) tls_port: u16,
    pub(crate) edge_ip: &'static str,
}

pub(crate) const REGIONS: [Region; 3] = [
    Region {
        name: "Global",
        suffix: "sip.cloudonix.net",
        sip_port: 5060,
        tls_port: 443,
        edge_ip: "18.219.128.166",
    },
    Region {
        name: "India",
        suffix: "in.dimi.tel",
        sip_port: 9060,
        tls_port: 9443,
        edge_ip: "128.199.27.19",
    },
    Region {
        name: "UAE",
        suffix: "uae.dimi.tel",
        sip_port: 9081,
        tls_port: 9443,
        edge_ip: "20.233.60.70",
    },
];

/// The region of that name, in any case.
pub(crate) fn region(name: &str) -> Option<&'static Region> {
    REGIONS
        .iter()
        .find(|region| region.name.eq_ignore_ascii_case(name.trim()))
}
