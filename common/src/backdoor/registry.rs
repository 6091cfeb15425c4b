//! What an operator can reach: functions and kinds of values, each with a line of help, without
//! which it cannot be registered.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rhai::{
    Dynamic, EvalAltResult, FUNC_TO_DEBUG, FUNC_TO_STRING, FuncRegistration, Module, RhaiNativeFunc,
};

use super::show;

/// What a function of the backdoor gives.
pub type Outcome = Result<Dynamic, Box<EvalAltResult>>;

/// An error that an operator reads.
pub fn failure(message: impl fmt::Display) -> Box<EvalAltResult> {
    message.to_string().into()
}

/// A line of help.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Of what it is a part: `everywhere`, or a service's name.
    pub(super) section: &'static str,
    /// `name(parameters)`, or `kind.field`.
    pub(super) signature: String,
    /// What it does or is.
    pub(super) help: &'static str,
}

impl Entry {
    /// The name by which it is called.
    pub(super) fn name(&self) -> &str {
        let end = self.signature.find('(').unwrap_or(self.signature.len());
        &self.signature[..end]
    }
}

/// Looks at a field of a value.
type Field<T> = (&'static str, fn(&T) -> Dynamic);

type Look = Arc<dyn Fn(&Dynamic) -> Dynamic + Send + Sync>;

/// How the values of a type are shown.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) fields: Vec<(&'static str, Look)>,
}

/// All kinds.
pub(super) type Kinds = HashMap<TypeId, Kind>;

/// Functions and kinds of values, by service.
pub struct Registry {
    service: &'static str,
    section: &'static str,
    module: Module,
    entries: Vec<Entry>,
    kinds: Kinds,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("service", &self.service)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty one for a service.
    #[must_use]
    pub fn new(service: &'static str) -> Registry {
        Registry {
            service,
            section: service,
            module: Module::new(),
            entries: Vec::new(),
            kinds: Kinds::new(),
        }
    }

    /// The service's name.
    pub(super) fn service(&self) -> &'static str {
        self.service
    }

    /// What is registered from now on belongs to this section of the help.
    pub(super) fn section(&mut self, section: &'static str) {
        self.section = section;
    }

    /// Adds a function. Its `signature` is `name(parameters)` as an operator reads it.
    pub fn function<A: 'static, const N: usize, const X: bool, F>(
        &mut self,
        signature: &'static str,
        help: &'static str,
        function: F,
    ) where
        F: RhaiNativeFunc<A, N, X, Dynamic, true> + Send + Sync + 'static,
    {
        let entry = Entry {
            section: self.section,
            signature: signature.to_owned(),
            help,
        };
        self.set(entry.name(), function);
        self.entries.push(entry);
    }

    /// Adds another form of a function, for parameters of other types that need no line of help.
    pub(super) fn overload<A: 'static, const N: usize, const X: bool, F>(
        &mut self,
        name: &'static str,
        function: F,
    ) where
        F: RhaiNativeFunc<A, N, X, Dynamic, true> + Send + Sync + 'static,
    {
        debug_assert!(self.entries.iter().any(|entry| entry.name() == name));
        self.set(name, function);
    }

    /// Adds a kind of values. They are live: each look at a field gives what is now.
    pub fn kind<T: Any + Clone + Send + Sync>(&mut self, name: &'static str) -> KindOf<'_, T> {
        self.module.set_custom_type::<T>(name);
        let kind = Kind {
            name,
            fields: Vec::new(),
        };
        self.kinds.insert(TypeId::of::<T>(), kind);
        KindOf {
            registry: self,
            name,
            fields: Vec::new(),
        }
    }

    fn set<A: 'static, const N: usize, const X: bool, F>(&mut self, name: &str, function: F)
    where
        F: RhaiNativeFunc<A, N, X, Dynamic, true> + Send + Sync + 'static,
    {
        FuncRegistration::new(name)
            .in_global_namespace()
            .with_purity(true)
            .with_volatility(true)
            .set_into_module(&mut self.module, function);
    }

    /// Everything, with `help()` over all of it.
    pub(super) fn finish(mut self) -> Catalogue {
        self.section("everywhere");
        for (signature, help) in [
            ("help()", "this list"),
            ("help(name)", "what there is of this name"),
        ] {
            self.entries.push(Entry {
                section: "everywhere",
                signature: signature.to_owned(),
                help,
            });
        }
        // What belongs to the service comes first, as it was registered.
        self.entries
            .sort_by_key(|entry| entry.section == "everywhere");
        let entries: Arc<[Entry]> = self.entries.clone().into();
        let all = Arc::clone(&entries);
        self.set("help", move || Ok(super::help::all(&all).into()));
        self.set("help", move |name: &str| super::help::of(&entries, name));
        let kinds = Arc::new(self.kinds);
        Catalogue {
            service: self.service,
            module: Arc::new(self.module),
            kinds,
        }
    }
}

/// What every session shares.
#[derive(Clone)]
pub(super) struct Catalogue {
    pub(super) service: &'static str,
    pub(super) module: Arc<Module>,
    pub(super) kinds: Arc<Kinds>,
}

/// A kind of values that is being described; it is complete when this is dropped.
pub struct KindOf<'a, T: Any + Clone + Send + Sync> {
    registry: &'a mut Registry,
    name: &'static str,
    fields: Vec<Field<T>>,
}

impl<T: Any + Clone + Send + Sync> fmt::Debug for KindOf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KindOf")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<T: Any + Clone + Send + Sync> KindOf<'_, T> {
    /// Adds a field.
    #[must_use]
    pub fn field(
        mut self,
        name: &'static str,
        help: &'static str,
        look: fn(&T) -> Dynamic,
    ) -> Self {
        let entry = Entry {
            section: self.registry.section,
            signature: format!("{}.{name}", self.name),
            help,
        };
        self.registry.entries.push(entry);
        self.registry
            .set(&rhai_getter(name), move |value: &mut T| Ok(look(value)));
        self.fields.push((name, look));
        self
    }

    /// Has values of this kind shown as text: as `print` and strings need it.
    pub fn done(self) {
        let erased = self.fields.iter().map(|&(name, look)| {
            let look: Look = Arc::new(move |value: &Dynamic| {
                value
                    .read_lock::<T>()
                    .map_or(Dynamic::UNIT, |value| look(&value))
            });
            (name, look)
        });
        let kind = Kind {
            name: self.name,
            fields: erased.collect(),
        };
        let kinds: Kinds = [(TypeId::of::<T>(), kind.clone())].into();
        self.registry.kinds.extend(kinds.clone());
        let kinds = Arc::new(kinds);
        for function in [FUNC_TO_STRING, FUNC_TO_DEBUG] {
            let kinds = Arc::clone(&kinds);
            self.registry.set(function, move |value: &mut T| {
                let value = Dynamic::from(value.clone());
                Ok(show::inline(&value, &kinds).into())
            });
        }
    }
}

/// The name under which Rhai looks for a field.
fn rhai_getter(field: &str) -> String {
    format!("get${field}")
}
