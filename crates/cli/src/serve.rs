//! `maliang serve` and `maliang keys`: models over HTTP, and who may use them.

use crate::args::{KeysVerb, LogArg, ScopeArg, ServeArgs};
use crate::terminal::{data_dir, print, weights_store};
use maliang::Result;
use maliang_serve::{Keys, Log, Scope, Settings};

/// Serves until it is asked to stop.
pub fn run(args: &ServeArgs) -> Result<()> {
    let settings = settings(args)?;
    let keys = keys()?;
    let places: Vec<_> = settings.models.iter().map(|place| place.display().to_string()).collect();
    let guarded = match keys.list().len() {
        0 => "no key needed from this machine".to_owned(),
        1 => "one key".to_owned(),
        count => format!("{count} keys"),
    };
    maliang_serve::serve(settings, keys, |address, count| {
        // Where stdout is closed the server is of use all the same.
        let _ = print(format!("http://{address}"));
        tell!("{count} models of {} · {guarded} · Ctrl-C stops", places.join(", "));
        if count == 0 {
            tell!("`maliang demo` trains a first one; the server finds new runs while it is running");
        }
    })
}

/// The file's settings, and over them what flags and the environment say.
fn settings(args: &ServeArgs) -> Result<Settings> {
    let mut settings = args.config.as_deref().map_or_else(|| Ok(Settings::default()), Settings::read)?;
    fn over<T>(setting: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *setting = given;
        }
    }
    over(&mut settings.models, (!args.models.is_empty()).then(|| args.models.clone()));
    over(&mut settings.bind, args.bind);
    over(&mut settings.port, args.port);
    over(&mut settings.capacity, args.capacity);
    over(&mut settings.memory, args.memory.map(|megabytes| megabytes.saturating_mul(1_000_000)));
    over(&mut settings.data, (!args.data.is_empty()).then(|| args.data.clone()));
    // Where a program lies on disk is not always known; then the server only generates.
    settings.trainer = std::env::current_exe().ok();
    settings.weights = Some(weights_store());
    over(&mut settings.hosts, (!args.host.is_empty()).then(|| args.host.clone()));
    if args.public.is_some() {
        settings.public.clone_from(&args.public);
    }
    over(&mut settings.origins, (!args.origin.is_empty()).then(|| args.origin.clone()));
    over(
        &mut settings.log,
        args.log.map(|log| match log {
            LogArg::Text => Log::Text,
            LogArg::Json => Log::Json,
            LogArg::Off => Log::Off,
        }),
    );
    if args.producer.code().is_some() {
        settings.producer = args.producer.code().map(str::to_owned);
    }
    Ok(settings)
}

/// Makes, lists and removes keys.
pub fn keys_verb(verb: &KeysVerb) -> Result<()> {
    let mut keys = keys()?;
    match verb {
        KeysVerb::Add { name, scope } => {
            let scopes: Vec<Scope> = match scope {
                ScopeArg::Read => vec![Scope::Read],
                ScopeArg::Generate => vec![Scope::Read, Scope::Generate],
                ScopeArg::Train => vec![Scope::Read, Scope::Generate, Scope::Train],
            };
            print(keys.add(name, &scopes)?)?;
            tell!("the key is not shown again; running servers accept it from now on");
        }
        KeysVerb::List => {
            for key in keys.list() {
                let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
                print(format!("{:<28} {}", key.name, scopes.join(", ")))?;
            }
            if keys.is_empty() {
                tell!("no keys: `maliang serve` needs none, and serves this machine only");
            }
        }
        KeysVerb::Remove { name } => keys.remove(name)?,
    }
    Ok(())
}

fn keys() -> Result<Keys> {
    Keys::open(&data_dir().join("keys.toml"))
}
