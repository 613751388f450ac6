//! What a call has to tell, on its way to the gateway.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use super::{Call, Exchange, Out};
use crate::{report::WebhookAttempt, webhook::Courier};

/// How long a notice waits for its successor to overtake it.
const OVERTAKEN_WITHIN: Duration = Duration::from_millis(200);

/// Delivers a call's notices one after the other, because their order is what a carrier guarantees at best.
pub(super) async fn deliver(
    exchange: Arc<Exchange>,
    call: Arc<Call>,
    courier: Courier,
    mut queue: mpsc::UnboundedReceiver<Out>,
) {
    let misbehaviour = &call.misbehaviour;
    let tell = async |out: Out| {
        deliver_copies(&exchange, &call, &courier, out).await;
        call.untold.fetch_sub(1, Ordering::SeqCst);
        // Whoever waits for that looks at the report.
        call.report.update(|_| ());
    };
    let mut kept = Vec::new();
    let mut overtaken = None;
    loop {
        let next = match overtaken.take() {
            None => queue.recv().await,
            Some(first) => match timeout(OVERTAKEN_WITHIN, queue.recv()).await {
                Ok(Some(second)) if !matches!(second, Out::End) => {
                    tell(second).await;
                    tell(first).await;
                    continue;
                }
                Ok(next) => {
                    tell(first).await;
                    next
                }
                Err(_) => {
                    tell(first).await;
                    continue;
                }
            },
        };
        match next {
            None | Some(Out::End) => break,
            Some(out) if misbehaviour.statuses_reversed => kept.push(out),
            Some(out) if misbehaviour.statuses_swapped => overtaken = Some(out),
            Some(out) => tell(out).await,
        }
    }
    for out in kept.into_iter().rev() {
        tell(out).await;
    }
}

async fn deliver_copies(exchange: &Exchange, call: &Call, courier: &Courier, out: Out) {
    let log = |attempt: WebhookAttempt| call.report.update(|report| report.webhooks.push(attempt));
    let misbehaviour = &call.misbehaviour;
    for copy in 0..=misbehaviour.status_copies {
        match &out {
            Out::Event { key, text } => exchange.hub.push(key, text),
            Out::Webhook { kind, request } => {
                let policy = exchange.carrier.retry_policy(&request.url);
                courier
                    .deliver(request, kind, copy, policy, misbehaviour.slow_webhook, &log)
                    .await;
            }
            Out::End => {}
        }
    }
}
