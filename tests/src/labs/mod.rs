//! Deployments that users of IPVS build by hand, with the addresses that they use there. Each file
//! has the machines and the director's configuration.

pub mod l1_nat_weighted;
pub mod l2_nat_port_mapping;
pub mod l3_direct_one_subnet;
pub mod l4_direct_routed;
pub mod l5_direct_round_robin;
pub mod l7_tunnel;
pub mod l8_two_tiers;
pub mod load;
pub mod mixed_methods;
