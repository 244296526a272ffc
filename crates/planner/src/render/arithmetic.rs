//! `a + b`, `a * b` and the rest, as Python has them: numbers, texts, lists, times and the spans between them. [`super::rewrite`] calls these.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::moment::{Moment, invalid, too_far};
use super::python::str_of;
use super::span::{Delta, Relative};

/// What a template may make of a text or a list by multiplying it.
const LONGEST: usize = 1_000_000;

/// An operator that is called, by the name of its function and as it is written.
pub(super) const OPERATORS: &[(&str, &str)] =
    &[("+", "__add__"), ("-", "__sub__"), ("*", "__mul__"), ("/", "__truediv__"), ("//", "__floordiv__"), ("%", "__mod__")];

#[derive(Debug, Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Int(value.is_true().into())),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Self::Int),
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as in Python")]
    fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

/// `a operator b`.
pub(super) fn binary(operator: &str, a: &Value, b: &Value) -> Result<Value, Error> {
    for value in [a, b] {
        if value.is_undefined() {
            // An attribute of nothing: the engine's own error knows the name of what is missing.
            return value.get_attr("value");
        }
    }
    if let Some(result) = times(operator, a, b).transpose()? {
        return Ok(result);
    }
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return numbers(operator, x, y);
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    match operator {
        "+" => {
            if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
                return Ok(format!("{a}{b}").into());
            }
            if is_list(a) && is_list(b) && a.is_tuple() == b.is_tuple() {
                let items: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
                return Ok(if a.is_tuple() { Value::from(Tuple::new(items)) } else { items.into() });
            }
        }
        "*" => {
            let repeated = [(a, b), (b, a)].into_iter().find_map(|(what, count)| match Number::of(count) {
                Some(Number::Int(count)) if what.as_str().is_some() || is_list(what) => Some((what, count)),
                _ => None,
            });
            if let Some((what, count)) = repeated {
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if what.len().unwrap_or(1).saturating_mul(count) > LONGEST {
                    return Err(invalid(format!("{count} times that is too long")));
                }
                return Ok(match what.as_str() {
                    Some(text) => text.repeat(count).into(),
                    None => std::iter::repeat_n(what.try_iter()?.collect::<Vec<_>>(), count).flatten().collect::<Vec<Value>>().into(),
                });
            }
        }
        "%" => {
            if let Some(text) = a.as_str() {
                return printf(text, b).map(Value::from);
            }
        }
        _ => {}
    }
    Err(invalid(format!("{} {operator} {} makes no sense", a.kind(), b.kind())))
}

/// `'%s-%02d' % (a, b)`.
pub(super) fn printf(text: &str, values: &Value) -> Result<String, Error> {
    let values: Vec<Value> = if values.is_tuple() { values.try_iter()?.collect() } else { vec![values.clone()] };
    // Python refuses what is left over, save a mapping.
    let wanted = text.replace("%%", "").matches('%').count();
    if values.len() > wanted && values.iter().all(|value| value.kind() != ValueKind::Map) {
        return Err(invalid("not all arguments converted during string formatting"));
    }
    let printable = |value: Value| match value.kind() {
        ValueKind::Number | ValueKind::String | ValueKind::Undefined => value,
        ValueKind::Map => value,
        _ => str_of(&value).into(),
    };
    format(FormatStyle::Printf, text, &values.into_iter().map(printable).collect::<Vec<_>>())
}

fn numbers(operator: &str, x: Number, y: Number) -> Result<Value, Error> {
    let zero = || invalid("division by zero");
    let large = || invalid("the number is too large");
    if let (Number::Int(x), Number::Int(y)) = (x, y)
        && operator != "/"
    {
        let floored = || (y != 0).then(|| (x.div_euclid(y), x.rem_euclid(y)));
        // Python rounds down, whatever the signs.
        let floored = || floored().map(|(q, r)| if r != 0 && y < 0 { (q - 1, r + y) } else { (q, r) });
        return match operator {
            "+" => x.checked_add(y),
            "-" => x.checked_sub(y),
            "*" => x.checked_mul(y),
            "//" => Some(floored().ok_or_else(zero)?.0),
            _ => Some(floored().ok_or_else(zero)?.1),
        }
        .map(Value::from)
        .ok_or_else(large);
    }
    let (x, y) = (x.float(), y.float());
    if y == 0.0 && matches!(operator, "/" | "//" | "%") {
        return Err(zero());
    }
    Ok(Value::from(match operator {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "//" => (x / y).floor(),
        _ => x - y * (x / y).floor(),
    }))
}

/// Where one side is a time or a span. Nothing: neither is.
fn times(operator: &str, a: &Value, b: &Value) -> Option<Result<Value, Error>> {
    let (time_a, time_b) = (a.downcast_object_ref::<Moment>(), b.downcast_object_ref::<Moment>());
    let (span_a, span_b) = (a.downcast_object_ref::<Delta>(), b.downcast_object_ref::<Delta>());
    let (months_a, months_b) = (a.downcast_object_ref::<Relative>(), b.downcast_object_ref::<Relative>());
    let moment = |moment: Result<Moment, Error>| Some(moment.map(Value::from_object));
    let span = |span: Option<Delta>| Some(span.map(Value::from_object).ok_or_else(too_far));
    match (operator, time_a, time_b, span_a, span_b) {
        ("+", Some(time), _, _, Some(by)) | ("+", _, Some(time), Some(by), _) => moment(time.plus(by.length())),
        ("-", Some(time), _, _, Some(by)) => moment(time.plus(-by.length())),
        ("-", Some(a), Some(b), ..) => Some(a.since(b).map(Value::from_object)),
        ("+", _, _, Some(a), Some(b)) => span(a.length().checked_add(&b.length()).map(Delta::new)),
        ("-", _, _, Some(a), Some(b)) => span(a.length().checked_sub(&b.length()).map(Delta::new)),
        ("/", _, _, Some(a), Some(b)) => Some(numbers("/", Number::Float(a.seconds()), Number::Float(b.seconds()))),
        ("//" | "%", _, _, Some(a), Some(b)) => {
            let (a, b) = (a.micros(), b.micros());
            let result = numbers(operator, Number::Int(a), Number::Int(b));
            if operator == "//" {
                Some(result)
            } else {
                Some(result.and_then(|micros| Delta::of_micros(i128::try_from(micros)?)).map(Value::from_object))
            }
        }
        ("*" | "/" | "//", _, _, Some(a), None) => scaled(operator, a, Number::of(b)?),
        ("*", _, _, None, Some(b)) => scaled(operator, b, Number::of(a)?),
        ("+", Some(time), ..) if months_b.is_some() => moment(months_b?.applied(time, 1)),
        ("+", _, Some(time), ..) if months_a.is_some() => moment(months_a?.applied(time, 1)),
        ("-", Some(time), ..) if months_b.is_some() => moment(months_b?.applied(time, -1)),
        _ => None,
    }
}

fn scaled(operator: &str, span: &Delta, by: Number) -> Option<Result<Value, Error>> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "as in Python; what is too large saturates and is refused"
    )]
    let micros = match (operator, by) {
        ("*", Number::Int(by)) => span.micros().checked_mul(by),
        ("*", by) => Some((span.micros() as f64 * by.float()).round_ties_even() as i128),
        (_, by) if by.float() == 0.0 => return Some(Err(invalid("division by zero"))),
        ("//", Number::Int(by)) => Some(span.micros().div_euclid(by)),
        ("//", _) => return None,
        (_, by) => Some((span.micros() as f64 / by.float()).round_ties_even() as i128),
    };
    Some(micros.ok_or_else(too_far).and_then(Delta::of_micros).map(Value::from_object))
}

/// For errors: the functions that operators were turned into are no words of the user's.
pub(super) fn as_written(message: &str) -> String {
    OPERATORS.iter().fold(message.to_owned(), |message, (operator, name)| message.replace(name, operator))
}

/// The function of an operator.
pub(super) fn function_of(operator: &str) -> Option<&'static str> {
    OPERATORS.iter().find(|(written, _)| *written == operator).map(|(_, name)| *name)
}

/// Ends a method that has no such name.
pub(super) fn no_method() -> Error {
    Error::from(ErrorKind::UnknownMethod)
}
