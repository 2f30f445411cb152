//! The part of Python's pickle format that PyTorch's state dicts are written in, read without running anything.
//!
//! A pickle is a program for a small stack machine, and the full machine can call any function. This one knows the
//! operations that build dictionaries, tuples, strings and numbers, and four functions by name; whatever else a file
//! asks for is refused. Each operation makes at most one value of constant size, or text as long as it is in the file, so
//! memory is bounded by the file's length.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Why a pickle cannot be read; half a sentence.
pub(super) type Reason = String;

/// The number format of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// 32-bit floats.
    F32,
    /// Floats of another size: (name, bytes).
    Float(&'static str, usize),
    /// Whole numbers of so many bytes.
    Whole(usize),
}

impl Numbers {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Float(_, size) | Self::Whole(size) => size,
        }
    }

    fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::Float("double", 8),
            "HalfStorage" => Self::Float("half", 2),
            "BFloat16Storage" => Self::Float("bfloat16", 2),
            "LongStorage" => Self::Whole(8),
            "IntStorage" => Self::Whole(4),
            "ShortStorage" => Self::Whole(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Whole(1),
            _ => return None,
        })
    }
}

/// Numbers that lie elsewhere in the file.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub key: Rc<str>,
    pub numbers: Numbers,
    pub count: usize,
}

/// A view of a storage.
#[derive(Debug, Clone)]
pub(super) struct TensorView {
    pub storage: Rc<Storage>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// The functions that a state dict may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Numbers),
}

/// What lies on the stack. Containers are numbers of places in [`Machine::containers`], so that a value is small, can be
/// copied freely, and can be changed after it was remembered.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// A tuple or a list.
    Sequence(usize),
    /// Keys and values in turn.
    Dict(usize),
    Function(FunctionName),
    Storage(Rc<Storage>),
    Tensor(Rc<TensorView>),
    Mark,
}

/// Hides the enumeration of functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct FunctionName(Function);

/// A finished program.
#[derive(Debug)]
pub(super) struct Pickle {
    /// What it made.
    pub value: Value,
    /// Every storage that it refers to.
    pub storages: Vec<Rc<Storage>>,
    containers: Vec<Vec<Value>>,
}

impl Pickle {
    /// The elements of a tuple or list.
    pub fn sequence(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Sequence(at) => Some(&self.containers[*at]),
            _ => None,
        }
    }

    /// The entries of a dictionary whose keys are text.
    pub fn entries(&self, value: &Value) -> Option<impl Iterator<Item = (&str, &Value)>> {
        let Value::Dict(at) = value else { return None };
        Some(self.containers[*at].chunks_exact(2).filter_map(|pair| match &pair[0] {
            Value::Text(key) => Some((&**key, &pair[1])),
            _ => None,
        }))
    }
}

/// Runs the pickle at the start of `bytes` and moves them past it.
pub(super) fn read(bytes: &mut &[u8]) -> Result<Pickle, Reason> {
    let mut machine = Machine { input: bytes, ..Machine::default() };
    while machine.step()? {}
    let value = machine.pop()?;
    *bytes = machine.input;
    Ok(Pickle { value, storages: machine.storages, containers: machine.containers })
}

#[derive(Default)]
struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Value>,
    memo: BTreeMap<u32, Value>,
    storages: Vec<Rc<Storage>>,
    containers: Vec<Vec<Value>>,
}

impl<'a> Machine<'a> {
    /// Does one operation; false after the last.
    fn step(&mut self) -> Result<bool, Reason> {
        let operation = self.bytes(1)?[0];
        let value = match operation {
            b'.' => return Ok(false),
            0x80 => return self.bytes(1).map(|_| true), // protocol
            0x95 => return self.bytes(8).map(|_| true), // frame
            b'q' => return self.number::<1>().and_then(|at| self.remember(at as u32)),
            b'r' => return self.number::<4>().and_then(|at| self.remember(at as u32)),
            0x94 => return self.remember(self.memo.len() as u32),
            b's' | b'u' | b'a' | b'e' => return self.fill(operation).map(|()| true),
            b'b' => return self.build().map(|()| true),
            b'(' => Value::Mark,
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'K' => Value::Int(self.number::<1>()? as i64),
            b'M' => Value::Int(self.number::<2>()? as i64),
            b'J' => Value::Int(i64::from(self.number::<4>()? as u32 as i32)),
            0x8a => self.long()?,
            b'G' => self.bytes(8).map(|_| Value::Float)?,
            0x8c => self.number::<1>().and_then(|length| self.text(length))?,
            b'X' => self.number::<4>().and_then(|length| self.text(length))?,
            b')' => self.container(Vec::new(), Value::Sequence),
            b']' => self.container(Vec::new(), Value::Sequence),
            b'}' => self.container(Vec::new(), Value::Dict),
            b't' => self.pop_to_mark().map(|items| self.container(items, Value::Sequence))?,
            0x85..=0x87 => self.pop_many(usize::from(operation - 0x84)).map(|v| self.container(v, Value::Sequence))?,
            b'h' => self.number::<1>().and_then(|at| self.recall(at as u32))?,
            b'j' => self.number::<4>().and_then(|at| self.recall(at as u32))?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                function(module, name)?
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => function(&module, &name)?,
                _ => return Err("a function is named by something else than text".into()),
            },
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            other => return Err(format!("it uses the pickle operation 0x{other:02x}, which no state dict needs")),
        };
        self.stack.push(value);
        Ok(true)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (bytes, rest) = self.input.split_at_checked(count).ok_or("it is cut off")?;
        self.input = rest;
        Ok(bytes)
    }

    /// An unsigned number of N bytes, the lowest first.
    fn number<const N: usize>(&mut self) -> Result<u64, Reason> {
        Ok(self.bytes(N)?.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// A signed number with its length; those that are too long for an i64 are only ever a file's magic number.
    fn long(&mut self) -> Result<Value, Reason> {
        let length = self.number::<1>()? as usize;
        let bytes = self.bytes(length)?;
        if length > 8 {
            return Ok(Value::Float);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let start = if negative { -1i64 } else { 0 };
        Ok(Value::Int(bytes.iter().rev().fold(start, |n, &byte| n << 8 | i64::from(byte))))
    }

    fn text(&mut self, length: u64) -> Result<Value, Reason> {
        let bytes = self.bytes(usize::try_from(length).map_err(|e| e.to_string())?)?;
        std::str::from_utf8(bytes).map(|text| Value::Text(text.into())).map_err(|_| "a text is not UTF-8".into())
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Result<&'a str, Reason> {
        let length = self.input.iter().position(|&byte| byte == b'\n').ok_or("it is cut off")?;
        let line = self.bytes(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| "a name is not UTF-8".into())
    }

    fn pop(&mut self) -> Result<Value, Reason> {
        self.stack.pop().ok_or_else(|| "its stack runs empty".into())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, Reason> {
        let start = self.stack.len().checked_sub(count).ok_or("its stack runs empty")?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Reason> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or("a mark is missing")?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn container(&mut self, items: Vec<Value>, kind: fn(usize) -> Value) -> Value {
        self.containers.push(items);
        kind(self.containers.len() - 1)
    }

    fn remember(&mut self, at: u32) -> Result<bool, Reason> {
        let value = self.stack.last().ok_or("its stack runs empty")?.clone();
        self.memo.insert(at, value);
        Ok(true)
    }

    fn recall(&self, at: u32) -> Result<Value, Reason> {
        self.memo.get(&at).cloned().ok_or_else(|| format!("it recalls value {at}, which it never stored"))
    }

    /// Adds to the dictionary or list below: one entry or all since the mark.
    fn fill(&mut self, operation: u8) -> Result<(), Reason> {
        let items = match operation {
            b's' => self.pop_many(2)?,
            b'a' => self.pop_many(1)?,
            _ => self.pop_to_mark()?,
        };
        let at = match (self.stack.last(), operation) {
            (Some(Value::Dict(at)), b's' | b'u') if items.len().is_multiple_of(2) => *at,
            (Some(Value::Sequence(at)), b'a' | b'e') => *at,
            _ => return Err("it adds entries to what has none".into()),
        };
        self.containers[at].extend(items);
        Ok(())
    }

    /// Attributes of an ordered dictionary, such as the versions of a network's parts: left out.
    fn build(&mut self) -> Result<(), Reason> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("it gives attributes to something else than a dictionary".into()),
        }
    }

    fn sequence(&self, value: &Value) -> Result<&[Value], Reason> {
        match value {
            Value::Sequence(at) => Ok(&self.containers[*at]),
            _ => Err("arguments are not a tuple".into()),
        }
    }

    /// `('storage', class, key, location, count)`, in old files with a view that is none.
    fn storage(&mut self) -> Result<Value, Reason> {
        let id = self.pop()?;
        let storage = match self.sequence(&id)? {
            [
                Value::Text(kind),
                Value::Function(FunctionName(Function::Storage(numbers))),
                Value::Text(key),
                Value::Text(_),
                Value::Int(count),
                rest @ ..,
            ] if &**kind == "storage" && matches!(rest, [] | [Value::None]) => {
                let count = usize::try_from(*count).map_err(|_| "a storage has a negative size")?;
                Rc::new(Storage { key: key.clone(), numbers: *numbers, count })
            }
            _ => return Err("it refers to something outside that is not a storage of numbers".into()),
        };
        self.storages.push(storage.clone());
        Ok(Value::Storage(storage))
    }

    fn call(&mut self) -> Result<Value, Reason> {
        let arguments = self.pop()?;
        let Value::Function(FunctionName(function)) = self.pop()? else {
            return Err("it calls something that is not a function".into());
        };
        if function == Function::OrderedDict && self.sequence(&arguments)?.is_empty() {
            return Ok(self.container(Vec::new(), Value::Dict));
        }
        match (function, self.sequence(&arguments)?) {
            (Function::RebuildTensor, [Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
                let sizes = |value: &Value| -> Result<Vec<usize>, Reason> {
                    let size = |v: &Value| match v {
                        Value::Int(n) => usize::try_from(*n).map_err(|_| "a size is negative".to_owned()),
                        _ => Err("a size is not a number".into()),
                    };
                    self.sequence(value)?.iter().map(size).collect()
                };
                let offset = usize::try_from(*offset).map_err(|_| "an offset is negative")?;
                let (shape, strides) = (sizes(shape)?, sizes(strides)?);
                if shape.len() != strides.len() || shape.len() > 8 {
                    return Err("a tensor's strides do not fit its shape".into());
                }
                Ok(Value::Tensor(Rc::new(TensorView { storage: storage.clone(), offset, shape, strides })))
            }
            (Function::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            _ => Err("it calls a function with other arguments than a state dict has".into()),
        }
    }
}

/// A function that a state dict may name.
fn function(module: &str, name: &str) -> Result<Value, Reason> {
    let function = match (module, name) {
        ("collections", "OrderedDict") => Some(Function::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Function::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Function::RebuildParameter),
        ("torch", class) => Numbers::of_storage(class).map(Function::Storage),
        _ => None,
    };
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(60).collect::<String>();
    function
        .map(|f| Value::Function(FunctionName(f)))
        .ok_or_else(|| format!("it asks for {}.{}, which no state dict needs", short(module), short(name)))
}
