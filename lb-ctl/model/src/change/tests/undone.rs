//! What was made can be undone.

use proptest::{collection, prelude::*};

use super::{add, desired, patch, set_server, set_service, web};
use crate::{
    change::{Change, End, Undo},
    difference,
    ids::ServiceId,
    options::{ServiceOptions, Timeouts},
    strategies,
};

#[test]
fn every_change_can_be_undone_and_knows_what_it_touched() {
    let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
    let new: ServiceId = "tcp/192.0.2.2:80".parse().unwrap();
    let other: ServiceId = "udp/192.0.2.1:53".parse().unwrap();
    let server = "10.0.0.1".parse().unwrap();
    for (change, touched) in [
        (
            Change::AddService {
                id: new,
                options: ServiceOptions::default(),
            },
            vec![new],
        ),
        (set_service(&[("name", "www")]), vec![id]),
        (Change::DeleteService { service: web() }, vec![id]),
        (Change::Clear, vec![id, other]),
        (add("10.0.0.3", End::Head), vec![id]),
        (set_server(&[("weight", "5")]), vec![id]),
        (
            Change::DeleteServer {
                service: web(),
                server,
            },
            vec![id],
        ),
        (
            Change::SetTimeouts {
                set: patch::<Timeouts>(&[("udp", "30s")]),
            },
            vec![],
        ),
        (Change::Replace(Box::default()), vec![id, other]),
    ] {
        let (mut after, mut undo) = (desired(), Undo::default());
        change.make(&mut after, &mut undo).unwrap();
        assert_ne!(after, desired(), "{change:?}");
        assert_eq!(undo.touched(&after), touched, "{change:?}");
        assert_eq!(undo.before(id, &after), desired().services.get(id));
        undo.revert(&mut after);
        assert_eq!(after, desired(), "{change:?}");
    }
}

#[test]
fn what_is_zeroed_is_what_there_is_in_the_end() {
    let (mut desired, mut undo) = (desired(), Undo::default());
    let mut make = |change: Change, undo: &mut Undo| {
        change.make(&mut desired, undo).unwrap();
        undo.zeroed(&desired).len()
    };
    let zero = |service| Change::Zero { service };
    assert_eq!(make(zero(Some(web())), &mut undo), 1);
    assert!(!undo.is_empty());
    assert_eq!(make(Change::DeleteService { service: web() }, &mut undo), 0);
    assert_eq!(make(zero(None), &mut undo), 1);
    assert_eq!(make(Change::Clear, &mut undo), 0);
}

proptest! {
    #[test]
    fn what_was_made_can_be_undone_and_is_told_by_its_differences(
        before in strategies::desired(),
        changes in collection::vec(strategies::change(), 0..20),
    ) {
        let (mut after, mut undo) = (before.clone(), Undo::default());
        for change in &changes {
            let as_it_was = after.clone();
            if change.make(&mut after, &mut undo).is_err() {
                prop_assert_eq!(&after, &as_it_was);
            }
        }
        for service in after.services.iter() {
            let touched = undo.touched(&after).contains(&service.id);
            prop_assert!(touched || before.services.get(service.id) == Some(service));
        }
        for service in before.services.iter() {
            prop_assert_eq!(undo.before(service.id, &after), Some(service));
        }
        let mut told = difference::between(&before, &after);
        let mut of_undo = difference::since(&undo, &after);
        let order = |line: &String| !line.contains(" in the order ");
        told.retain(order);
        of_undo.retain(order);
        told.sort();
        of_undo.sort();
        prop_assert_eq!(told, of_undo);
        undo.revert(&mut after);
        prop_assert_eq!(after, before);
    }
}
