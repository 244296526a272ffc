//! `macros`: Airflow's functions, and what its modules are asked for. No clock is read, and chance follows from the attempt.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use minijinja::value::{Kwargs, Object, ObjectRepr, Value, from_args};
use minijinja::{Error, State};
use serde_json::Value as Json;
use uuid::Uuid;

use super::context::{Part, serialized};
use super::json::{Style, dumps};
use super::moment::{Moment, invalid};
use super::python::str_of;
use super::span::{Delta, Relative, split};

/// Modules of `macros`.
pub(super) const MODULES: &[&str] = &["datetime", "json", "uuid", "time", "yaml", "dateutil"];

/// Functions of `macros`.
pub(super) const FUNCTIONS: &[&str] = &["ds_add", "ds_format", "datetime_diff_for_humans", "timedelta", "random"];

/// What a module has that is no function.
pub(super) fn of_module(part: &Part, module: &str, name: &str) -> Option<Value> {
    let moment = |text: &str| Moment::parse(text).ok().map(Value::from_object);
    match (module, name) {
        ("datetime", "datetime") => Some(part.module("datetime")),
        ("datetime", "min") => moment("0001-01-01"),
        ("datetime", "max") => moment("9999-12-31T23:59:59.999999"),
        ("dateutil", "parser") => Some(part.module("dateutil.parser")),
        ("dateutil", "relativedelta") => Some(part.module("dateutil.relativedelta")),
        ("uuid", "NAMESPACE_DNS") => Some(Value::from_object(Id(Uuid::NAMESPACE_DNS))),
        ("uuid", "NAMESPACE_URL") => Some(Value::from_object(Id(Uuid::NAMESPACE_URL))),
        ("uuid", "NAMESPACE_OID") => Some(Value::from_object(Id(Uuid::NAMESPACE_OID))),
        ("uuid", "NAMESPACE_X500") => Some(Value::from_object(Id(Uuid::NAMESPACE_X500))),
        _ => None,
    }
}

fn clock(name: &str) -> Error {
    invalid(format!(
        "macros.{name}: a template that reads the clock renders differently each time: use logical_date, or dag_run.start_date"
    ))
}

/// A value that is given by place or by name.
fn given<'a>(positional: &'a [Value], kwargs: &'a Kwargs, at: usize, name: &str) -> Result<Value, Error> {
    match positional.get(at) {
        Some(value) => Ok(value.clone()),
        None => kwargs.get::<Value>(name).map_err(|_| invalid(format!("{name} is missing"))),
    }
}

fn text(positional: &[Value], kwargs: &Kwargs, at: usize, name: &str) -> Result<String, Error> {
    let value = given(positional, kwargs, at, name)?;
    if value.is_undefined() {
        // The engine's own error knows the name of what is missing.
        value.get_attr("value")?;
    }
    Ok(str_of(&value))
}

/// `macros.name(…)`.
pub(super) fn call(part: &Part, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (positional, kwargs) = split(args)?;
    let made = match name {
        "ds_add" => {
            let ds = text(positional, &kwargs, 0, "ds")?;
            let days = i64::try_from(given(positional, &kwargs, 1, "days")?).map_err(|_| invalid("macros.ds_add: days is no number"))?;
            let delta = TimeDelta::try_days(days).ok_or_else(|| invalid("the date is out of range"))?;
            Moment::strptime(&ds, "%Y-%m-%d")?.plus(delta)?.strftime("%Y-%m-%d")?.into()
        }
        "ds_format" => {
            let (ds, from) = (text(positional, &kwargs, 0, "ds")?, text(positional, &kwargs, 1, "input_format")?);
            Moment::strptime(&ds, &from)?.strftime(&text(positional, &kwargs, 2, "output_format")?)?.into()
        }
        "datetime_diff_for_humans" => {
            let (time, since) = (given(positional, &kwargs, 0, "dt")?, positional.get(1).cloned().map_or_else(|| kwargs.get("since"), Ok)?);
            let time = time.downcast_object_ref::<Moment>().ok_or_else(|| invalid("macros.datetime_diff_for_humans takes times"))?;
            if Value::is_none(&since) {
                return Err(clock(name));
            }
            time.diff_for_humans(&[since])?.into()
        }
        "datetime" => return Moment::from_parts(args).map(Value::from_object),
        "timedelta" => return Delta::from_parts(args).map(Value::from_object),
        "random" => {
            let [a, b, c, d, e, f, ..] = part.draw();
            let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
            #[expect(clippy::cast_precision_loss, reason = "48 bits fit a double")]
            Value::from(bits as f64 / (1u64 << 48) as f64)
        }
        _ => {
            return Err(invalid(format!(
                "macros.{name} is not supported; there are {}, datetime, dateutil, json, time and uuid",
                FUNCTIONS.join(", ")
            )));
        }
    };
    kwargs.assert_all_used()?;
    Ok(made)
}

/// `macros.module.name(…)`.
pub(super) fn call_of_module(part: &Part, module: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let moment = |moment: Result<Moment, Error>| moment.map(Value::from_object);
    match (module, name) {
        ("datetime", "datetime") => moment(Moment::from_parts(args)),
        ("datetime", "timedelta") => Delta::from_parts(args).map(Value::from_object),
        ("datetime", "strptime") => moment(from_args::<(&str, &str)>(args).and_then(|(text, format)| Moment::strptime(text, format))),
        ("datetime", "fromisoformat") => moment(from_args::<(&str,)>(args).and_then(|(text,)| Moment::parse(text))),
        ("datetime", "combine") => {
            let (date, time): (Value, Value) = from_args(args)?;
            match (date.downcast_object_ref::<Moment>(), time.downcast_object_ref::<Moment>()) {
                (Some(date), Some(time)) => Ok(Value::from_object(Moment::combined(date, time))),
                _ => Err(invalid("datetime.combine takes a date and a time")),
            }
        }
        ("datetime", "now" | "utcnow" | "today") | ("time", "time" | "time_ns" | "monotonic" | "localtime" | "ctime" | "sleep") => {
            Err(clock(&format!("{module}.{name}")))
        }
        ("datetime", "utcfromtimestamp") | ("time", "gmtime") => {
            let (seconds,): (f64,) = from_args(args)?;
            #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates and is refused")]
            let at = DateTime::from_timestamp_micros((seconds * 1e6).round_ties_even() as i64).filter(|_| seconds.is_finite());
            let at = Moment::naive(at.ok_or_else(|| invalid("the date is out of range"))?.naive_utc());
            Ok(Value::from_object(if module == "time" { at.tuple() } else { at }))
        }
        ("time", "strftime") => {
            let (format, time): (&str, Option<Value>) = from_args(args)?;
            let time = time.ok_or_else(|| clock("time.strftime"))?;
            let time = time.downcast_object_ref::<Moment>().ok_or_else(|| invalid("time.strftime takes a struct_time"))?;
            time.strftime(format).map(Value::from)
        }
        ("time", "mktime") => {
            let (time,): (Value,) = from_args(args)?;
            let time = time.downcast_object_ref::<Moment>().ok_or_else(|| invalid("time.mktime takes a struct_time"))?;
            Ok(time.timestamp().into())
        }
        ("dateutil.parser", "parse" | "isoparse") => moment(from_args::<(&str,)>(args).and_then(|(text,)| Moment::parse_any(text))),
        ("dateutil.relativedelta", "relativedelta") => Relative::from_parts(args).map(Value::from_object),
        ("uuid", "uuid4" | "uuid1") => {
            from_args::<()>(args)?;
            let bytes = part.draw();
            let mut half = [0; 16];
            half.copy_from_slice(&bytes[..16]);
            Ok(Value::from_object(Id(uuid::Builder::from_random_bytes(half).into_uuid())))
        }
        ("uuid", "uuid3" | "uuid5") => {
            let (space, text): (Value, String) = from_args(args)?;
            let Id(space) = space
                .downcast_object_ref::<Id>()
                .ok_or_else(|| invalid(format!("uuid.{name} takes a namespace such as uuid.NAMESPACE_DNS")))?;
            let made = if name == "uuid3" { Uuid::new_v3(space, text.as_bytes()) } else { Uuid::new_v5(space, text.as_bytes()) };
            Ok(Value::from_object(Id(made)))
        }
        ("uuid", "UUID") => {
            let (text,): (&str,) = from_args(args)?;
            Uuid::parse_str(text).map(Id).map(Value::from_object).map_err(|_| invalid(format!("{text:?} is no UUID")))
        }
        ("json", "dumps") => {
            let (value, kwargs): (Value, Kwargs) = from_args(args)?;
            let style = Style::from_kwargs(&kwargs)?;
            kwargs.assert_all_used()?;
            dumps(&value, &style).map(Value::from)
        }
        ("json", "loads") => {
            let (text,): (&str,) = from_args(args)?;
            Ok(serialized(serde_json::from_str::<Json>(text).map_err(|why| invalid(format!("json.loads: {why}")))?))
        }
        _ => Err(invalid(format!("macros.{module}.{name} is not supported: compute it in the task"))),
    }
}

/// Python's `UUID`.
#[derive(Debug)]
struct Id(Uuid);

impl Object for Id {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "hex" => self.0.simple().to_string().into(),
            "int" => self.0.as_u128().into(),
            "version" => self.0.get_version_num().into(),
            "urn" => self.0.urn().to_string().into(),
            _ => return None,
        })
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, _: &str, _: &[Value]) -> Result<Value, Error> {
        Err(super::arithmetic::no_method())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
