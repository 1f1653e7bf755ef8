//! The text that Prometheus reads.

use std::fmt;
use std::sync::Mutex;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::families::{Family, Kind};
use super::registry::{Sample, Value};

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// The text of `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// The form that a scraper asks for with its `Accept` field.
    pub fn accepted(accept: &str) -> Self {
        let wanted = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            name.eq_ignore_ascii_case("application/openmetrics-text")
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if wanted {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// `Content-Type` of the text.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Labels of every series.
#[derive(Clone, Debug)]
pub struct ServiceLabels {
    /// `service_name`
    pub name: String,
    /// `service_version`
    pub version: String,
}

/// The text of samples.
pub fn render(
    samples: Vec<Sample>,
    service: &ServiceLabels,
    format: Format,
) -> Result<String, fmt::Error> {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Samples {
        samples: Mutex::new(samples),
        service: service.clone(),
    }));
    let mut out = String::new();
    match format {
        Format::Text => prometheus_text::encode(&mut out, &registry)?,
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Samples {
    /// Taken out when they are written, which happens once.
    samples: Mutex<Vec<Sample>>,
    service: ServiceLabels,
}

type Exemplars = Exemplar<[(&'static str, String); 0], f64>;

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = self.samples.lock().map_err(|_| fmt::Error)?;
        let of_families = samples.chunk_by(|a, b| a.family.name == b.family.name);
        for series in of_families {
            let Some(first) = series.first() else {
                continue;
            };
            let family = first.family;
            // The encoders add the suffix, and the full stop to the help.
            let name = family.name.strip_suffix("_total").unwrap_or(family.name);
            let help = family.help;
            let mut metric = encoder.encode_descriptor(name, help, None, metric_type(family))?;
            for sample in series {
                let labels = self.labels(sample);
                let mut metric = metric.encode_family(&labels)?;
                match &sample.value {
                    Value::Number(number) => match (family.kind, whole(*number)) {
                        (Kind::Counter, Some(whole)) => {
                            metric.encode_counter(&whole, None::<&Exemplars>)?;
                        }
                        (Kind::Counter, None) => {
                            metric.encode_counter(number, None::<&Exemplars>)?;
                        }
                        (_, Some(whole)) => metric.encode_gauge(&whole)?,
                        (_, None) => metric.encode_gauge(number)?,
                    },
                    Value::Distribution(value) => {
                        metric.encode_histogram::<[(&str, &str); 0]>(
                            value.sum,
                            value.count(),
                            &value.buckets,
                            None,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Samples {
    /// A sample's labels with those of the service, in alphabetical order.
    fn labels<'s>(&'s self, sample: &'s Sample) -> Vec<(&'s str, &'s str)> {
        let own = sample.labels.iter();
        let mut labels: Vec<(&str, &str)> = own.map(|(name, value)| (*name, &**value)).collect();
        labels.push(("service_name", &self.service.name));
        labels.push(("service_version", &self.service.version));
        labels.sort_unstable();
        labels
    }
}

/// The number without decimals, if it has none.
fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (number.fract() == 0.0 && (0.0..EXACT).contains(&number)).then_some(number as u64)
}

fn metric_type(family: &Family) -> MetricType {
    match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram(_) => MetricType::Histogram,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Registry, families};
    use super::*;
    use std::time::Duration;

    fn service() -> ServiceLabels {
        ServiceLabels {
            name: "my\"gate".into(),
            version: "1".into(),
        }
    }

    #[test]
    fn counters_and_histograms_have_the_labels_in_order() {
        let registry = Registry::default();
        let counter = registry.counter(&families::ACCESS_CONTROL, &["door", "jwt", "denied"]);
        counter.add(3);
        let family = &families::ACCESS_CONTROL_DURATION;
        let histogram = registry.histogram(family, &["door", "jwt"]);
        histogram.record(Duration::from_millis(7));
        let text = render(registry.collect(), &service(), Format::Text).unwrap();
        for line in [
            "# TYPE couper_access_control_total counter\n",
            "couper_access_control_total{ac_name=\"door\",ac_type=\"jwt\",service_name=\"my\\\"gate\",service_version=\"1\",status=\"denied\"} 3\n",
            "# TYPE couper_access_control_duration_seconds histogram\n",
            "_bucket{ac_name=\"door\",ac_type=\"jwt\",service_name=\"my\\\"gate\",service_version=\"1\",le=\"0.005\"} 0\n",
            "le=\"0.01\"} 1\n",
            "le=\"+Inf\"} 1\n",
            "_count{ac_name=\"door\",ac_type=\"jwt\",service_name=\"my\\\"gate\",service_version=\"1\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn open_metrics_ends_with_its_mark() {
        let registry = Registry::default();
        registry.count(&families::LIMIT, &["x"]);
        let text = render(registry.collect(), &service(), Format::OpenMetrics).unwrap();
        assert!(text.contains("# TYPE gateway_limit counter\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn scrapers_choose_the_form() {
        let accepted = Format::accepted;
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        assert_eq!(accepted(prometheus), Format::OpenMetrics);
        assert_eq!(accepted("text/plain, */*"), Format::Text);
        assert_eq!(accepted("application/openmetrics-text; q=0"), Format::Text);
        assert_eq!(accepted(""), Format::Text);
    }
}
