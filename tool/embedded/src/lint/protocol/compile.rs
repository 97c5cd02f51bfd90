//! Functions of a protocol file, compiled as StreamDevice does.

use std::sync::atomic::Ordering::Relaxed;

use stream_rs::StreamBuffer;
use stream_rs::cstr::CPtr;
use stream_rs::error::{self as stream, stream_error_at};
use stream_rs::format::{COMPARE_FLAG, PSEUDO_FORMAT, SKIP_FLAG, StreamFormat};
use stream_rs::protocol::{Client, FormatType, Protocol, codes, get_protocol, path, print_string, set_path};

use super::{Conversion, Piece, Step, Variables};

/// Handlers that a function can have; `None` is the function itself.
const HANDLERS: [Option<&[u8]>; 6] =
    [None, Some(b"@init"), Some(b"@mismatch"), Some(b"@writetimeout"), Some(b"@replytimeout"), Some(b"@readtimeout")];

/// Compiles a function with its arguments: what StreamDevice says, whether it could, and what it found.
pub fn compile(file: &str, call: &[String]) -> (String, bool, Commands) {
    // An IOC that looks at its own files first says what it has to say as it would else.
    let (path, colored) = (path(), stream::stream_debug_colored());
    let [error, stamped] = [&stream::STREAM_ERROR, &stream::STREAM_MSG_TIME_STAMPED].map(|flag| flag.load(Relaxed));
    set_path(None);
    stream::set_stream_error(1);
    stream::set_stream_msg_time_stamped(0);
    stream::set_stream_debug_colored(false);
    stream::capture_stderr();
    let mut commands = Commands::default();
    let mut compiled = true;
    if let Some(mut protocol) = get_protocol(file, &StreamBuffer::from_bytes(call.join("\0").as_bytes())) {
        let mut code = StreamBuffer::new();
        compiled = HANDLERS.iter().enumerate().all(|(number, handler)| {
            commands.reacts = number > 1;
            let compiled = protocol.get_commands(*handler, &mut code, &mut commands);
            let name = handler.and_then(|name| std::str::from_utf8(name).ok());
            commands.handlers.extend(name.filter(|_| !code.is_empty()));
            compiled
        });
        commands.variables = use_variables(&mut protocol);
        compiled = compiled && protocol.check_unused();
    }
    let said = String::from_utf8_lossy(&stream::take_captured()).into_owned();
    set_path(path.as_deref());
    stream::set_stream_error(error);
    stream::set_stream_msg_time_stamped(stamped);
    stream::set_stream_debug_colored(colored);
    (said, compiled, commands)
}

/// Looks at the variables that StreamDevice knows, as it does, so that handlers alone are left unused.
fn use_variables(protocol: &mut Protocol) -> Variables {
    let [.., longest, _] =
        [&b"locktimeout"[..], b"readtimeout", b"replytimeout", b"writetimeout", b"maxinput", b"pollperiod"].map(
            |name| {
                let mut number = 0;
                protocol.get_number_variable(name, &mut number, u64::from(u32::MAX));
                number
            },
        );
    let mut choice = 0;
    protocol.get_enum_variable(b"extrainput", &mut choice, &[b"error", b"ignore"]);
    let [out, input, both, separator] =
        [&b"outterminator"[..], b"interminator", b"terminator", b"separator"].map(|name| {
            let (mut text, mut defined) = (StreamBuffer::new(), false);
            protocol.get_string_variable(name, &mut text, Some(&mut defined));
            defined.then(|| text.bytes().split(|byte| *byte == ESCAPE).collect::<Vec<_>>().concat())
        });
    Variables {
        ends: [out.or_else(|| both.clone()), input.or(both)],
        separator: separator.unwrap_or_default(),
        more: choice == 1,
        longest: usize::try_from(longest).unwrap_or(0),
    }
}

/// Compiles commands as StreamDevice does, but for what depends on the record.
#[derive(Default)]
pub struct Commands {
    pub conversions: Vec<Conversion>,
    pub execs: Vec<u32>,
    pub events: Vec<u32>,
    pub steps: Vec<Step>,
    pub variables: Variables,
    /// The handlers that have commands.
    pub handlers: Vec<&'static str>,
    /// A handler is compiled that is called when something else went wrong.
    reacts: bool,
    /// The line of the command that cannot be compiled.
    pub failed: Option<u32>,
    /// The same, if it wants a number.
    pub number: Option<u32>,
}

/// Stands before a byte that is no code.
const ESCAPE: u8 = 0x1B;

impl Commands {
    fn string(&mut self, protocol: &mut Protocol, kind: FormatType, command: CPtr<'_>, args: &mut CPtr<'_>) -> bool {
        let mut code = StreamBuffer::new();
        let compiled = protocol.compile_string(&mut code, args, kind, Some(self), 0);
        let line = u32::try_from(command.line_number()).unwrap_or(1);
        let mut at = code.ptr(0);
        let mut pieces = Vec::new();
        while at.peek() != codes::EOS {
            let code = at.peek();
            at.advance(usize::from(code == ESCAPE));
            let byte = at.peek();
            at.advance(1);
            if code != codes::FORMAT && code != codes::FORMAT_FIELD {
                pieces.push(match code {
                    codes::SKIP => Piece::Any,
                    codes::WHITESPACE => Piece::Blank,
                    _ => Piece::Byte(byte),
                });
                continue;
            }
            let target = (code == codes::FORMAT_FIELD).then(|| {
                let target = String::from_utf8_lossy(at.cstr()).into_owned();
                at.advance(at.strlen() + 1);
                at.advance(2 + usize::from(u16::from_ne_bytes([at.at(0), at.at(1)])));
                target
            });
            pieces.push(Piece::Value(at.cstr().to_vec(), target.is_none()));
            let mut text = StreamBuffer::new();
            at = print_string(&mut text, at);
            let format = StreamFormat::extract(&mut at);
            if format.flags & SKIP_FLAG == 0 && format.type_ < PSEUDO_FORMAT {
                let text = String::from_utf8_lossy(text.bytes()).into_owned();
                // `%=f` in input compares with the value of the record.
                let writes = kind == FormatType::PrintFormat || format.flags & COMPARE_FLAG != 0;
                self.conversions.push(Conversion { line, target, text, kind: format.type_, writes });
            }
        }
        if !self.reacts && command.cstr() != b"exec" {
            self.steps.push(Step { out: kind == FormatType::PrintFormat, pieces });
        }
        compiled
    }
}

impl Client for Commands {
    fn compile_command(
        &mut self,
        protocol: &mut Protocol,
        _code: &mut StreamBuffer,
        command: CPtr<'_>,
        args: &mut CPtr<'_>,
    ) -> bool {
        let compiled = self.command(protocol, command, args);
        if !compiled {
            self.failed = u32::try_from(command.line_number()).ok();
            self.number = self.failed.filter(|_| [&b"wait"[..], b"connect", b"event"].contains(&command.cstr()));
        }
        compiled
    }

    fn get_field_address(&mut self, _field: &[u8], address: &mut StreamBuffer) -> bool {
        address.append(&0_u32.to_ne_bytes());
        true
    }

    fn name(&self) -> String {
        "lint".to_owned()
    }
}

impl Commands {
    fn command(&mut self, protocol: &mut Protocol, command: CPtr<'_>, args: &mut CPtr<'_>) -> bool {
        let mut number = 0;
        match command.cstr() {
            b"in" => self.string(protocol, FormatType::ScanFormat, command, args),
            b"out" => self.string(protocol, FormatType::PrintFormat, command, args),
            b"exec" => {
                self.execs.push(u32::try_from(command.line_number()).unwrap_or(1));
                self.string(protocol, FormatType::PrintFormat, command, args)
            }
            b"wait" | b"connect" => protocol.compile_number(&mut number, args, u64::from(u32::MAX)),
            b"event" => {
                let mut mask = |args: &mut CPtr<'_>| protocol.compile_number(&mut number, args, u64::from(u32::MAX));
                if args.peek() == b'(' {
                    args.advance(1);
                    let whole = mask(args) && args.peek() == b')';
                    args.advance(usize::from(whole));
                    if !whole {
                        stream_error_at(command.line_number(), protocol.filename(), b"Expect ')' behind the mask\n");
                        return false;
                    }
                    while args.peek().is_ascii_whitespace() {
                        args.advance(1);
                    }
                }
                let compiled = args.peek() == 0 || mask(args);
                self.events.extend(compiled.then(|| u32::try_from(command.line_number()).unwrap_or(1)));
                compiled
            }
            b"disconnect" => true,
            name => {
                let what = [b"Unknown command name '", name, b"'\n"].concat();
                stream_error_at(command.line_number(), protocol.filename(), &what);
                false
            }
        }
    }
}
