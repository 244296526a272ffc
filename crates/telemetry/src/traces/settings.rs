//! The variables of OpenTelemetry's own specification, as far as they matter here.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample as _};

/// What the environment says.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) sampler: Sampler,
    /// Most spans that wait for their export.
    pub(super) queue: usize,
    /// Most spans in one request.
    pub(super) batch: usize,
    /// How long a span waits for others.
    pub(super) delay: Duration,
    /// How long one export may take.
    pub(super) timeout: Duration,
    /// Certificates of authorities (PEM) that the collector's own may be signed by.
    pub(super) ca: Option<PathBuf>,
    pub(super) service_is_named: bool,
}

impl Settings {
    /// None: nothing is traced.
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        // An empty variable counts as none, says the specification.
        let get = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let of_signal =
            |name: &str| get(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| get(&format!("OTEL_EXPORTER_OTLP_{name}")));
        if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) || of_signal("ENDPOINT").is_none() {
            return Ok(None);
        }
        match get("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(format!("OTEL_TRACES_EXPORTER={other}: there is otlp, and none")),
        }
        match of_signal("PROTOCOL").as_deref() {
            None | Some("http/protobuf") => {}
            Some(other) => {
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL={other}: there is http/protobuf alone; set that, and the endpoint of it (port 4318 of a collector)"
                ));
            }
        }
        let number = |name: &str, default: u64| -> Result<u64, String> {
            get(name).map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name}={text}: a whole number is wanted")))
        };
        let size = |name: &str, default: u64| number(name, default).map(|n| usize::try_from(n).unwrap_or(usize::MAX).clamp(1, 1 << 20));
        let queue = size("OTEL_BSP_MAX_QUEUE_SIZE", 2048)?;
        let timeout = match get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") {
            Some(_) => number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 10_000)?,
            None => number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000)?,
        };
        Ok(Some(Self {
            sampler: Sampler::read(get("OTEL_TRACES_SAMPLER").as_deref(), get("OTEL_TRACES_SAMPLER_ARG").as_deref())?,
            queue,
            batch: size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?.min(queue),
            delay: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000)?),
            timeout: Duration::from_millis(timeout),
            ca: of_signal("CERTIFICATE").map(PathBuf::from),
            service_is_named: get("OTEL_SERVICE_NAME").is_some()
                || get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.split(',').any(|one| one.trim().starts_with("service.name="))),
        }))
    }
}

/// Which traces are exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// What came with a trace decides about it.
    follows_parent: bool,
    /// The share of the others.
    ratio: f64,
}

impl Sampler {
    fn read(name: Option<&str>, argument: Option<&str>) -> Result<Self, String> {
        let name = name.unwrap_or("parentbased_always_on");
        let (follows_parent, kind) = name.strip_prefix("parentbased_").map_or((false, name), |kind| (true, kind));
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument.map_or(Ok(1.0), |text| {
                let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| format!("OTEL_TRACES_SAMPLER_ARG={text}: a number from 0 to 1 is wanted"))
            })?,
            _ => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER={name}: there are always_on, always_off and traceidratio, each with parentbased_ before it, too"
                ));
            }
        };
        Ok(Self { follows_parent, ratio })
    }

    /// Whether a trace is exported. The same in every process with these settings.
    pub(super) fn decide(self, parent: Option<bool>, trace_id: TraceId) -> bool {
        if let Some(sampled) = parent.filter(|_| self.follows_parent) {
            return sampled;
        }
        let sampler = opentelemetry_sdk::trace::Sampler::TraceIdRatioBased(self.ratio);
        sampler.should_sample(None, trace_id, "", &SpanKind::Internal, &[], &[]).decision == SamplingDecision::RecordAndSample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318");

    fn read(all: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::read(|name| all.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_traced_unless_an_endpoint_is_set() {
        for off in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[("OTEL_TRACES_EXPORTER", "otlp")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "True")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(read(off), Ok(None), "{off:?}");
        }
        for on in [&[ENDPOINT][..], &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel/x")], &[ENDPOINT, ("OTEL_SDK_DISABLED", "0")]] {
            assert!(read(on).unwrap().is_some(), "{on:?}");
        }
    }

    #[test]
    fn mistakes_name_the_variable() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ] {
            let why = read(&[ENDPOINT, (name, value)]).unwrap_err();
            assert!(why.contains(name) && why.contains(value), "{why}");
        }
        let why = read(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")]).unwrap_err();
        assert!(why.contains("OTEL_TRACES_SAMPLER_ARG=1.5"), "{why}");
    }

    #[test]
    fn samplers_decide_as_they_are_named() {
        let of = |name, argument| Sampler::read(Some(name), argument).unwrap();
        let share = |sampler: Sampler| {
            let ids = (0..2000).map(|run| crate::traces::context::trace_id(uuid::Uuid::from_u128(7), run));
            ids.filter(|id| sampler.decide(None, *id)).count()
        };
        assert_eq!(share(of("always_on", None)), 2000);
        assert_eq!(share(of("parentbased_always_off", None)), 0);
        let quarter = share(of("traceidratio", Some("0.25")));
        assert!((400..600).contains(&quarter), "{quarter} of 2000 are no quarter: ids are not spread evenly");
        let id = crate::traces::context::trace_id(uuid::Uuid::from_u128(7), 1);
        assert!(of("parentbased_always_off", None).decide(Some(true), id));
        assert!(!Sampler::read(None, None).unwrap().decide(Some(false), id), "the default follows");
        assert!(!of("always_off", None).decide(Some(true), id), "without parentbased_ nobody is followed");
    }
}
