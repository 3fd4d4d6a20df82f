//! Types that are no built-ins and still known: those of the standard library, by identity, and how C code reads them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

static KINDS: PyOnceLock<Kinds> = PyOnceLock::new();

/// Types by identity, and the accessors of built-in attributes, which no subclass can replace.
pub(crate) struct Kinds {
    datetime: Py<PyAny>,
    time: Py<PyAny>,
    date: Py<PyAny>,
    timezone: Py<PyAny>,
    zone_info: Py<PyAny>,
    with_plain_text: [Py<PyAny>; 3],
    /// `type.__dict__["__name__"].__get__`.
    name_of: Py<PyAny>,
    /// `BaseException.__dict__["args"].__get__`.
    args_of: Py<PyAny>,
}

impl Kinds {
    /// Imports them. Done when the module is, since a hook must not import.
    pub(crate) fn load(py: Python<'_>) -> PyResult<()> {
        KINDS.get_or_try_init(py, || Self::import(py)).map(drop)
    }

    pub(crate) fn get(py: Python<'_>) -> Option<&'static Self> {
        KINDS.get(py)
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let datetime = py.import("datetime")?;
        let of = |name| datetime.getattr(name).map(Bound::unbind);
        let builtins = py.import("builtins")?;
        let getter = |class: &str, attribute: &str| {
            let attributes = builtins.getattr(class)?.getattr("__dict__")?;
            attributes.get_item(attribute)?.getattr("__get__").map(Bound::unbind)
        };
        Ok(Self {
            datetime: of("datetime")?,
            time: of("time")?,
            date: of("date")?,
            timezone: of("timezone")?,
            zone_info: py.import("zoneinfo")?.getattr("ZoneInfo")?.unbind(),
            with_plain_text: [
                of("timedelta")?,
                py.import("decimal")?.getattr("Decimal")?.unbind(),
                py.import("uuid")?.getattr("UUID")?.unbind(),
            ],
            name_of: getter("type", "__name__")?,
            args_of: getter("BaseException", "args")?,
        })
    }

    /// The text of a time, a decimal or a UUID: of exactly these types, and only where no other class has a say in it.
    pub(super) fn plain_text(&self, object: &Bound<'_, PyAny>) -> Option<String> {
        let kind = object.get_type();
        let text = if kind.is(&self.date) {
            object.call_method0(intern!(object.py(), "isoformat"))
        } else if kind.is(&self.datetime) || kind.is(&self.time) {
            let zone = object.getattr(intern!(object.py(), "tzinfo")).ok()?;
            let zone_kind = zone.get_type();
            if !(zone.is_none() || zone_kind.is(&self.timezone) || zone_kind.is(&self.zone_info)) {
                return None;
            }
            object.call_method0(intern!(object.py(), "isoformat"))
        } else if self.with_plain_text.iter().any(|known| kind.is(known)) {
            object.str().map(Bound::into_any)
        } else {
            return None;
        };
        text.ok()?.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned)
    }

    /// `exception.args`, whatever its class says about attributes of that name.
    pub(crate) fn args_of<'py>(&self, exception: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
        self.args_of.bind(exception.py()).call1((exception,)).ok()?.cast_into().ok()
    }

    fn name_of(&self, class: &Bound<'_, PyType>) -> Option<String> {
        let name = self.name_of.bind(class.py()).call1((class,)).ok()?;
        name.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned)
    }
}

/// Name of the object's class, whatever its metaclass says about attributes of that name.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> Option<String> {
    Kinds::get(object.py())?.name_of(&object.get_type())
}
