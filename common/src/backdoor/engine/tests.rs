//! The bounds of a line, and what stays from one to the next.

use super::*;
use crate::backdoor::control::Caller;
use crate::backdoor::registry::{Registry, failure};
use rhai::NativeCallContext;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver};

/// A shell on a thread of its own, as a session has it.
struct Scene {
    shell: Shell,
    control: Arc<Control>,
    words: Receiver<String>,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Thing(i64);

fn scene() -> Scene {
    let runtime = Runtime::new().unwrap();
    let mut registry = Registry::new("test");
    registry.function("fail(text)", "fails", |text: &str| Err(failure(text)));
    registry.function("panic()", "panics", || panic!("at the disco"));
    registry.function("wait()", "waits", |context: NativeCallContext<'_>| {
        Caller::of(&context)?.wait(std::future::pending())
    });
    let kind = registry.kind::<Thing>("thing");
    kind.field("a", "its a", |thing| thing.0.into()).done();
    registry.function("thing(a)", "a thing", |a: i64| Ok(Dynamic::from(Thing(a))));
    let (output, words) = mpsc::channel(10_000);
    let control = Arc::new(Control::new(runtime.handle().clone(), output));
    Scene {
        shell: Shell::new(registry.finish(), &control),
        control,
        words,
        _runtime: runtime,
    }
}

impl Scene {
    fn run(&mut self, text: &str) -> Result<String, String> {
        self.control.begin();
        match self.shell.run(text) {
            Ran::Value(text) => Ok(text),
            Ran::Failed(reason) => Err(reason),
        }
    }

    fn printed(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.words.try_recv().ok()).collect()
    }
}

#[test]
fn variables_and_functions_stay() {
    let mut scene = scene();
    let table = [
        ("let a = 1", Ok("")),
        ("let b = a + 1; b", Ok("2")),
        ("fn twice(x) { x * 2 } twice(b)", Ok("4")),
        ("twice(twice(b))", Ok("8")),
        ("fn twice(x) { x * 3 }", Ok("")),
        ("twice(b)", Ok("6")),
        (
            "a = 5; nonsense",
            Err("Variable not found: nonsense (line 1, position 8)"),
        ),
        ("a", Ok("5")),
        (
            "let c = 1; let d = nonsense",
            Err("Variable not found: nonsense (line 1, position 20)"),
        ),
        ("c", Err("Variable not found: c (line 1, position 1)")),
        ("let n = 2; [1, 2, 3].filter(|x| x > n)", Ok("[3]")),
        ("exit", Err("Variable not found: exit (line 1, position 1)")),
        ("exit()", Ok("")),
    ];
    for (text, outcome) in table {
        let outcome = outcome.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(scene.run(text), outcome, "{text}");
    }
    // The same name again and again is one variable.
    for _ in 0..2 * MOST_VARIABLES {
        assert_eq!(scene.run("let again = 1"), Ok(String::new()));
    }
}

#[test]
fn kinds_have_fields_and_are_shown_in_a_line() {
    let mut scene = scene();
    let table = [
        ("thing(3).a", "3"),
        ("thing(3)", "thing {a: 3}"),
        (
            "[thing(1), thing(2)]",
            "[\n  thing {a: 1}\n  thing {a: 2}\n]",
        ),
        ("[thing(1), thing(2)].filter(|t| t.a > 1).len()", "1"),
        ("\"\" + thing(1)", "thing {a: 1}"),
        ("type_of(thing(1))", "thing"),
    ];
    for (text, shown) in table {
        assert_eq!(scene.run(text), Ok(shown.to_owned()), "{text}");
    }
    scene.run("print(thing(1)); debug(\"x\")").unwrap();
    assert_eq!(
        scene.printed(),
        ["thing {a: 1}\n", "line 1, position 18: \"x\"\n"]
    );
    let help = scene.run("help()").unwrap();
    for name in ["fail(text)", "thing(a)", "thing.a", "help(name)"] {
        assert!(help.contains(name), "{help}");
    }
    assert!(scene.run("help(\"thing\")").unwrap().contains("its a"));
    assert!(
        scene
            .run("help(\"x\")")
            .unwrap_err()
            .contains("there is no 'x'")
    );
}

#[test]
fn a_block_goes_on_until_it_is_complete() {
    let scene = scene();
    let unfinished = [
        "for i in 0..3 {\n",
        "fn f(x) {\nif x {\n",
        "fn f(x)\n",
        "[1,\n",
        "print(\n",
        "let a = #{\n",
        "let a =\n",
        "1 +\n",
        "`one\n",
        "if true {\n} else\n",
    ];
    for text in unfinished {
        assert!(scene.shell.is_unfinished(text), "{text}");
    }
    let finished = [
        "1 + 2\n",
        ")\n",
        "for i in 0..3 { }\n",
        "\"one\n",
        "let = 3\n",
        "a b c\n",
        "`one\ntwo`\n",
        "// {\n",
        "\"{\"\n",
        "for x y {\n",
        "(1 2\n",
    ];
    for text in finished {
        assert!(!scene.shell.is_unfinished(text), "{text}");
    }
}

#[test]
fn errors_and_panics_are_told_and_the_shell_goes_on() {
    let mut scene = scene();
    assert_eq!(scene.run("let a = 1"), Ok(String::new()));
    let panicked = scene.run("let b = 2; panic()").unwrap_err();
    assert_eq!(panicked, "a function panicked: at the disco");
    assert_eq!(scene.run("fail(\"so\")"), Err("so".to_owned()));
    assert_eq!(scene.run("a"), Ok("1".to_owned()));
    for forbidden in [
        "eval(\"1\")",
        "import \"x\" as y; 1",
        "open_file(\"/etc/passwd\")",
    ] {
        assert!(scene.run(forbidden).is_err(), "{forbidden}");
    }
}

#[test]
fn nothing_goes_on_for_ever_or_grows_without_an_end() {
    let mut scene = scene();
    let table = [
        ("loop { }", "steps"),
        ("fn f() { f() } f()", "Stack overflow"),
        ("let a = \"x\"; loop { a += a }", "Length of string"),
        ("let a = []; loop { a.push(0) }", "Size of array"),
        (
            "let a = []; let b = \"x\"; b.pad(100000, 'x'); loop { a.push(b) }",
            "Length of string",
        ),
        ("let a = [0]; loop { a = [a, a] }", "Size of array"),
        ("let a = blob(1000000000)", "Size of array"),
        ("let a = []; a.pad(1000000000, 0)", "Size of array"),
        ("let a = \"\"; a.pad(1000000000, 'x')", "Length of string"),
    ];
    for (text, reason) in table {
        let error = scene.run(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    // Each of them would take gigabytes in one step.
    let long = "let t = \"\"; t.pad(500000, \"a\"); let n = []; n.pad(20000, 0); let a = [];";
    let table = [
        ("let s = t; s.replace(\"a\", t)", "Length of string"),
        ("let s = t; s.replace('a', t)", "Length of string"),
        ("let s = t; s.replace(\"\", t)", "Length of string"),
        ("let s = t; s.replace(\"\", '€')", "Length of string"),
        ("let s = t; s.replace('a', '€')", "Length of string"),
        ("let s = \"\"; s.pad(500000, \"€\")", "Length of string"),
        ("let m = #{}; m[t] = 0; a.pad(15000, m)", "Size of array"),
        ("a.pad(15000, Fn(\"x\").curry(n))", "Size of array"),
    ];
    for (text, reason) in table {
        let error = scene.run(&format!("{long} {text}")).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let deep = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
    assert!(scene.run(&deep).is_err());
    let deep = format!("{}1{}", "[".repeat(3000), "]".repeat(3000));
    assert!(scene.run(&deep).is_err());
    let many: String = (0..200).map(|n| format!("let v{n} = {n};")).collect();
    assert!(scene.run(&many).unwrap_err().contains("variables"));
    let many: String = (0..200).map(|n| format!("fn f{n}() {{}} ")).collect();
    assert!(scene.run(&many).unwrap_err().contains("functions"));
    assert_eq!(scene.run("1"), Ok("1".to_owned()));
}

#[test]
fn texts_are_replaced_and_padded_as_the_language_says() {
    let mut scene = scene();
    let table = [
        ("s.replace(\"b€\", \"xyz\")", "axyzaxyz"),
        ("s.replace(\"b€\", '-')", "a-a-"),
        ("s.replace('€', \"--\")", "ab--ab--"),
        ("s.replace('€', 'c')", "abcabc"),
        ("s.replace(\"\", \"-\")", "-a-b-€-a-b-€-"),
        ("s.replace(\"x\", \"y\")", "ab€ab€"),
        ("s = \"\"; s.replace(\"\", \"y\")", ""),
        ("s.pad(11, \"12\")", "ab€ab€12121"),
        ("s.pad(11, '1')", "ab€ab€11111"),
        ("s.pad(3, \"12\")", "ab€ab€"),
        ("s.pad(-3, \"12\")", "ab€ab€"),
        // Rhai's own never ends.
        ("s.pad(11, \"\")", "ab€ab€"),
        ("let a = [1]; a.pad(3, 2); s = \"\" + a", "[1, 2, 2]"),
        ("let a = [1]; a.pad(-3, 2); s = \"\" + a", "[1]"),
    ];
    for (text, result) in table {
        let text = format!("let s = \"ab€ab€\"; {text}; s");
        assert_eq!(scene.run(&text), Ok(result.to_owned()), "{text}");
    }
}

#[test]
fn what_is_kept_has_an_end() {
    let mut scene = scene();
    // The language does not look at the size of a map that is filled so.
    let text = "let a = #{}; let i = 0; loop { a[i.to_string()] = 0; i += 1 }";
    assert!(scene.run(text).unwrap_err().starts_with("stopped"));
    assert!(scene.run("a").is_err());
    let text = "let a = #{}; for i in 0..500000 { a[\"a long name of its own, number \" + i] = 0 }";
    assert!(scene.run(text).unwrap_err().contains("32 MiB"));
    assert!(scene.run("a").is_err());
    // What functions hold counts; one that holds itself is looked into once.
    let text = "let a = []; for i in 0..120 { let b = []; b.pad(20000, i); a.push(|| b) }";
    assert!(scene.run(text).unwrap_err().contains("32 MiB"));
    let text = "let f = 1; f = || f; let a = [f, f]; a.len()";
    assert_eq!(scene.run(text), Ok("2".to_owned()));
    assert_eq!(scene.run("a.len()"), Ok("2".to_owned()));
}

#[test]
fn what_is_printed_has_an_end() {
    let mut scene = scene();
    let text = "let a = \"\"; a.pad(100000, 'x'); for i in 0..1000 { print(a) }";
    scene.run(text).unwrap();
    let printed = scene.printed();
    assert_eq!(printed.len(), 11);
    assert!(printed[10].contains("not shown"));
    scene.run("print(1)").unwrap();
    assert_eq!(scene.printed(), ["1\n"]);
}

#[test]
fn a_line_ends_when_it_is_stopped_whether_it_works_or_waits() {
    for text in ["loop { }", "wait()", "fn f() { wait() } f()"] {
        let mut scene = scene();
        let control = Arc::clone(&scene.control);
        scene.control.begin();
        let stopper = std::thread::spawn(move || control.stop("interrupted"));
        let ran = scene.shell.run(text);
        stopper.join().unwrap();
        assert!(
            matches!(&ran, Ran::Failed(why) if why == "interrupted"),
            "{ran:?}"
        );
    }
    // Nobody listens.
    let mut scene = scene();
    scene.words.close();
    assert_eq!(
        scene.run("loop { print(1) }"),
        Err("the connection is gone".to_owned())
    );
}
