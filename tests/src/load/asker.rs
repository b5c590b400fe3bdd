//! A UDP client of the load.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lb_lab::wait::PATIENCE;
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Interval, timeout},
};

use super::{rhythm::next, tally::Tally};

/// Sends questions until the load ends, each only once.
pub async fn ask(
    tally: &Arc<Tally>,
    number: usize,
    place: usize,
    mut rhythm: Interval,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    // A connected socket receives no answer from any other address.
    socket.connect(tally.target().udp).await?;
    let mut first = None;
    let mut questions = 0;
    let mut answer = vec![0; 2048];
    while next(&mut rhythm, &mut stopped).await {
        let Some(_visit) = tally.come() else {
            continue;
        };
        let epoch = tally.epoch();
        questions += 1;
        let question = format!("question {questions} of {number}");
        socket.send(question.as_bytes()).await.context("send")?;
        let length = timeout(PATIENCE, socket.recv(&mut answer)).await;
        let length = length.with_context(|| format!("{question} or its answer was lost"))?;
        let length = length.context("receive")?;
        let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
        let server = answer.strip_suffix(&format!(": {question}"));
        let server = server.with_context(|| format!("{question}: the answer is {answer:?}"))?;
        let first = first.get_or_insert_with(|| server.to_owned());
        ensure!(first == server, "it moved from {first} to {server}");
        tally.answered();
        tally.spoke(place, first, epoch);
    }
    Ok(())
}
