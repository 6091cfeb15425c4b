//! The metrics of a process (SPEC §8): one registry, in which every module registers its own,
//! and the page that Prometheus reads.
//!
//! Names are given as the specification gives them; a counter is exposed with `_total` behind
//! its name, as Prometheus' clients do.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{
    CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The content type of the page.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds in seconds for anything that is waited for: a playlist takes some
/// milliseconds, a segment over a bad link minutes.
pub const LATENCY_BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 240.0,
];

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    register(&registry, process);
    registry
});

static LOG_COUNT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "log_count",
        "Log lines by level and place",
        &["level", "module", "function"],
    )
});

/// Registers a counter; it is exposed as `NAME_total`.
///
/// # Panics
/// If the name or a label is not one that Prometheus takes: they are constants of ours.
#[must_use]
pub fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(
        Opts::new(format!("{name}_total"), help),
        labels,
    ))
}

/// Registers a counter of fractions, such as seconds; it is exposed as `NAME_total`.
///
/// # Panics
/// If the name or a label is not one that Prometheus takes: they are constants of ours.
#[must_use]
pub fn float_counter(name: &str, help: &str, labels: &[&str]) -> CounterVec {
    registered(CounterVec::new(
        Opts::new(format!("{name}_total"), help),
        labels,
    ))
}

/// Registers a gauge of whole numbers.
///
/// # Panics
/// If the name or a label is not one that Prometheus takes: they are constants of ours.
#[must_use]
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// Registers a gauge of fractions.
///
/// # Panics
/// If the name or a label is not one that Prometheus takes: they are constants of ours.
#[must_use]
pub fn float_gauge(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(GaugeVec::new(Opts::new(name, help), labels))
}

/// Registers a histogram with these upper bounds.
///
/// # Panics
/// If the name, a label or a bound is not one that Prometheus takes: they are constants of ours.
#[must_use]
pub fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(HistogramVec::new(options, labels))
}

fn registered<C: Collector + Clone + 'static>(collector: prometheus::Result<C>) -> C {
    #[expect(
        clippy::expect_used,
        reason = "documented: names are constants of ours"
    )]
    let collector = collector.expect("a metric's name, labels and bounds are valid");
    register(&REGISTRY, collector.clone());
    collector
}

fn register(registry: &Registry, collector: impl Collector + 'static) {
    if let Err(error) = registry.register(Box::new(collector)) {
        tracing::error!(%error, "a metric is not exposed");
    }
}

/// The page that Prometheus reads.
#[must_use]
pub fn page() -> Vec<u8> {
    let mut page = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut page) {
        tracing::error!(%error, "cannot write the page of metrics");
    }
    page
}

/// The metrics whose names begin so, as `NAME{LABEL="VALUE",…}`, with their values; of a
/// histogram the count and the sum.
#[must_use]
pub fn values(prefix: &str) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    for family in REGISTRY.gather() {
        let name = family.name();
        for metric in family.get_metric() {
            let pairs = metric.get_label().iter();
            let pairs = pairs.map(|pair| format!("{}={:?}", pair.name(), pair.value()));
            let pairs: Vec<String> = pairs.collect();
            let labels = match pairs.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", pairs.join(",")),
            };
            if family.get_field_type() == MetricType::HISTOGRAM {
                let histogram = metric.get_histogram();
                let count = histogram.get_sample_count() as f64;
                values.push((format!("{name}_count{labels}"), count));
                values.push((format!("{name}_sum{labels}"), histogram.get_sample_sum()));
            } else {
                let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
                values.push((format!("{name}{labels}"), value));
            }
        }
    }
    values.retain(|(name, _)| name.starts_with(prefix));
    values
}

/// Counts log lines (`log_count`), under the names that Python gives the levels: dashboards
/// know those. The function is the innermost span's name.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountLogLines;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CountLogLines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        let span = context.event_span(event);
        let function = span.as_ref().map_or("", |span| span.name());
        LOG_COUNT
            .with_label_values(&[level, metadata.target(), function])
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_suffix_and_the_page_is_text() {
        let counted = counter("test_things", "Things", &["kind"]);
        counted.with_label_values(&["a \"b\""]).inc_by(3);
        let gauged = gauge("test_level", "Level", &[]);
        gauged.with_label_values(&[] as &[&str]).set(-2);
        let page = String::from_utf8(page()).unwrap();
        assert!(
            page.contains("test_things_total{kind=\"a \\\"b\\\"\"} 3\n"),
            "{page}"
        );
        assert!(page.contains("test_level -2\n"), "{page}");
        assert!(page.contains("process_resident_memory_bytes"), "{page}");
        let timed = histogram("test_seconds", "Seconds", &[], &[1.0]);
        timed.with_label_values(&[] as &[&str]).observe(0.5);
        let expected = [
            ("test_level", -2.0),
            ("test_seconds_count", 1.0),
            ("test_seconds_sum", 0.5),
            ("test_things_total{kind=\"a \\\"b\\\"\"}", 3.0),
        ];
        assert_eq!(
            values("test_"),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }
}
