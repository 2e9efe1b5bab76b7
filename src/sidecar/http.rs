//! HTTP. Owns: the routes. Takes: requests. Gives: answers. Never: a blocking call on its thread but with a bound; a change
//! for who does not come by the admin socket.

use super::limits::Watch;
use super::queues::{self, Parameters};
use super::sockets::{AdminSocket, Bounded};
use super::{Sockets, View, document, metrics, privacy, ready, resend};
use crate::shard::port::{Answer, Ask};
use crate::shard::status::Status;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

/// A shard that has not answered by then is not well.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// The rate is taken over so many seconds.
const RATE_OVER: usize = 5;

type Shared = State<Arc<View>>;

/// Serves until `ended`, which may also be dropped.
pub(super) async fn serve(view: Arc<View>, sockets: Sockets, ended: oneshot::Receiver<()>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/v1/status", get(status))
        .route("/v1/queue", get(queue_list))
        .with_state(Arc::clone(&view));
    // Who comes by the admin socket is this user: he may change things.
    let changes = Router::new()
        .route("/v1/queue/{act}", post(queue_change))
        .route("/v1/privacy/erase", post(privacy_erase))
        .route("/v1/receipts/resend", post(receipt_resend))
        .with_state(Arc::clone(&view));
    let admin_router = router.clone().merge(changes);
    if let Some(listener) = sockets.tcp.and_then(|listener| TcpListener::from_std(listener).ok()) {
        tokio::spawn(axum::serve(Bounded::new(listener), router.clone()).into_future());
    }
    // Its file lives as long as this function.
    let admin = sockets.admin;
    let listener: Option<UnixListener> = admin.as_ref().and_then(|admin: &AdminSocket| admin.listener().ok());
    if let Some(listener) = listener {
        tokio::spawn(axum::serve(Bounded::new(listener), admin_router).into_future());
    }
    tokio::spawn(measure(view));
    // Told, or the other end is gone: both are the end.
    let _ = ended.await;
}

/// Keeps the rate of submits and the shards' load up to date.
async fn measure(view: Arc<View>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: VecDeque<(Instant, u64, Vec<u64>)> = VecDeque::new();
    let (mut watch, begun) = (Watch::new(&view), Instant::now());
    loop {
        let now = every.tick().await;
        let submits: u64 = view.counters.esmes.iter().map(|esme| esme.submits.get()).sum();
        let busy: Vec<u64> = view.counters.loops.iter().map(|cells| cells.busy_ns.get()).collect();
        if let Some((then, before, busy_before)) = seen.front() {
            let nanos = u64::try_from(now.duration_since(*then).as_nanos()).unwrap_or(u64::MAX);
            let millis = (nanos / 1_000_000).max(1);
            let rate = submits.saturating_sub(*before).saturating_mul(1000) / millis;
            view.rate.store(rate, Ordering::Relaxed);
            for (cell, (now, before)) in view.busy.iter().zip(busy.iter().zip(busy_before)) {
                // Nanoseconds in a millisecond are millionths.
                cell.store((now.saturating_sub(*before) / millis / 1000).min(1000), Ordering::Relaxed);
            }
        }
        watch.look(now.duration_since(begun), &view);
        seen.push_back((now, submits, busy));
        if seen.len() > RATE_OVER {
            seen.pop_front();
        }
    }
}

async fn healthz() -> &'static str {
    "ok"
}

async fn readyz(State(view): Shared) -> Response {
    let failing = ready::failing(&view);
    if failing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n").into_response()
}

async fn metrics_page(State(view): Shared) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    // A shard that does not answer has no gauges; its counters are read all the same.
    let brief = ask(&view, Ask::Brief).await.ok();
    // With many accounts it is long: whoever asks for something else meanwhile is answered.
    let page = tokio::task::spawn_blocking(move || metrics::render(&view, brief.as_deref())).await;
    match page {
        Ok(page) => (kind, page).into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made"),
    }
}

async fn status(State(view): Shared) -> Response {
    match ask(&view, Ask::Status).await {
        Ok(status) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, document::of(&view, &status).to_string()).into_response()
        }
        Err(why) => problem(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn queue_list(State(view): Shared, Query(asked): Query<Parameters>) -> Response {
    queue(view, "ls".to_owned(), asked).await
}

async fn queue_change(
    State(view): Shared,
    Path(act): Path<String>,
    Query(asked): Query<Parameters>,
) -> Response {
    queue(view, act, asked).await
}

async fn queue(view: Arc<View>, act: String, asked: Parameters) -> Response {
    answered(move || queues::answer(&view, &act, &asked)).await
}

async fn privacy_erase(State(view): Shared, Query(asked): Query<Parameters>) -> Response {
    let number = asked.get("number").cloned().unwrap_or_default();
    answered(move || privacy::answer(&view, &number)).await
}

async fn receipt_resend(State(view): Shared, Query(asked): Query<Parameters>) -> Response {
    answered(move || resend::answer(&view, &asked)).await
}

async fn answered(question: impl FnOnce() -> Result<Value, String> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(question).await {
        Ok(Ok(document)) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, document.to_string()).into_response()
        }
        Ok(Err(why)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the question has failed"),
    }
}

async fn ask(view: &View, ask: Ask) -> Result<Box<Status>, &'static str> {
    const SILENT: &str = "a shard does not answer";
    let answers = view.shards.ask(ask).map_err(|_| "a shard takes no questions")?;
    let waiting = tokio::task::spawn_blocking(move || answers.wait(ANSWER_TIME));
    match waiting.await {
        Ok(Some(Answer::Status(status))) => Ok(status),
        Ok(Some(Answer::Queue(_) | Answer::Resent(_)) | None) | Err(_) => Err(SILENT),
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
