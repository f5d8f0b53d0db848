// The contract between the monitor and the head: every message, who sends it,
// and what is remembered so that a head may die at any instruction.
//
// The two talk over a unix stream socket pair, descriptor kLinkFd in the head.
// A message is a Header, then `body_size` bytes of a fixed body (the struct
// named for the type), then a tail of free length; `length` counts body and
// tail. Numbers have the machine's byte order: both ends run on one machine.
// Descriptors travel as SCM_RIGHTS with the header's first byte.
//
// Versions. Monitor and head may be of different releases. Bodies only ever
// grow at the end: a reader takes min(body_size, sizeof) bytes and leaves the
// rest zero, so a zero must mean "as before". An unknown type is ignored. What
// cannot be said so needs a new kLinkVersion, and the side with the higher
// number speaks the lower one's.
//
// The life of a request
//   1. The monitor reads a whole frame, gives it a token, remembers it, sends
//      kRequest.
//   2. The head acts. What it does to the world it does through *operations*
//      of the monitor, named (token, step): kSpawn, kSignal, kPublish and
//      others. An
//      operation with a known name is not done again; its result is told
//      again. So a head that takes over runs the request from the top and
//      comes to the same point, without doing anything twice.
//   3. The head sends kResponse. The monitor forgets the request and all of
//      the token's operations, and writes the frame to the connection.
// If the head dies, the next one gets, after kWelcome: every operation with
// its result (kOperation, kExit, kPublished), every known process and exit
// (kProcess, kExit), every stream (kStream), every stored descriptor (kStored),
// then the unanswered requests in token order, with the same tokens, then
// kSynced: what a head before began under a token that has not come by then,
// nobody waits for any more.
//
// The life of a process (container init or exec)
//   The runtime's child is reparented to the monitor, which is a subreaper.
//   While any operation with kSpawnAdopts is known, the monitor keeps the exits
//   of pids that nobody claimed. The head learns the pid from the runtime's pid
//   file and sends kClaim; from then on the exit belongs to `process`, is
//   written to the exit file before it is told, and is told (again to each new
//   head) until kForgetProcess.
//
// A head that rests
//   A head with nothing to do but requests that only wait (kParked) says kIdle.
//   If the monitor has nothing for it either, it closes the link, the head
//   ends, and none is started until there is something to tell: a request, an
//   exit, or a descriptor of kIdle that has become readable. Otherwise, and
//   during an upgrade, kIdle counts for nothing, and the head will hear what
//   there is. So a head never ends with something on the way to it.
//
// The life of an event
//   The head saves it with a sequence number, then has the monitor send it
//   (kPublish) under a token made of that number, and forgets the token only
//   when it has saved that the event is gone. So the engine's answer may find
//   the head dead at any point: the next one asks for the same event under the
//   same name, and gets that answer. Where the engine dies between reading an
//   event and answering, nobody can know, and the event is sent again.
//
// handover.pml, beside this file, is a model of all this, checked with a death
// of the head at every step. What is changed here is changed there.

#ifndef HYDRA_LINK_PROTOCOL_H_
#define HYDRA_LINK_PROTOCOL_H_

#include <cstdint>

namespace hydra::link {

// Raise it for a change that the rule above does not cover.
inline constexpr uint32_t kLinkVersion = 1;
// The head's end of the link.
inline constexpr int kLinkFd = 3;
// No message is longer: a frame's largest payload and room for the rest.
inline constexpr uint32_t kMaxMessage = (4u << 20) + (1u << 16);
// Descriptors in one message.
inline constexpr int kMaxFds = 16;

struct Header {
  uint32_t length;     // Of body and tail.
  uint16_t type;       // Type.
  uint16_t body_size;  // Of the body alone.
  uint64_t token;      // What it means is said at each type.
  uint32_t step;
  uint16_t fd_count;
  uint16_t reserved;
};
static_assert(sizeof(Header) == 24);

// A token with this bit is the head's own, for operations that no request
// asked for; it is forgotten with kForgetToken.
inline constexpr uint64_t kInternalToken = uint64_t{1} << 63;
// With this one too it is an event's; the rest is its sequence number.
inline constexpr uint64_t kEventToken = kInternalToken | uint64_t{1} << 62;

enum class Type : uint16_t {
  // ---- monitor to head ----
  kWelcome = 1,          // Answers kHello. Body: Welcome.
  kSynced = 2,           // What went before is all that is known.
  kRequest = 3,          // token. Body: Request. Tail: the frame's payload.
  kCancelled = 4,        // token: its connection is gone; answer or not.
  kOperation = 6,        // token, step. Body: Operation. A descriptor if the
                         // spawn left one with the monitor (kSpawnKeepsFd)
                         // and this is a replay. Tail: see kUpgrade.
  kExit = 7,             // Body: Exit.
  kProcess = 8,          // Only in a replay. Body: Process.
  kStream = 9,           // Body: StreamState. Sent when a stream ends, and
                         // for each known stream in a replay and as answer to
                         // kStreamsAsk.
  kStored = 10,          // Only in a replay. token: the name. Descriptors.
  kListenerClosed = 11,  // Answers kCloseListener.
  kPublished = 12,       // token, step. Body: Published. Tail: the payload of
                         // the response frame, if there is no error.
  kStreamsTold = 14,     // Answers kStreamsAsk: kStream has been sent for each.
  kStatus = 16,          // Answers kInspect: its token and step. Body: Status.
                         // Tail: the monitor's version and its program's path,
                         // NUL-terminated.

  // ---- head to monitor ----
  kHello = 64,             // First message of every head. Body: Hello.
  kResponse = 65,          // token. Tail: the response frame's payload.
  kParked = 81,            // token: the request only waits for something; a
                           // head that dies now does not die of it.
  kSpawn = 66,             // token, step. Body: Spawn. Tail: strings.
                           // Descriptors.
  kSignal = 67,            // token, step. Body: Signal. Answered by kOperation.
  kPublish = 82,           // token, step. Body: Publish. Tail: the engine's
                           // socket, the payload of the request frame.
                           // Answered by kPublished, whenever that is.
  kForgetToken = 68,       // token: forget all its operations.
  kClaim = 69,             // Body: Claim.
  kForgetProcess = 70,     // Body: Process (pid unused): its exit is consumed.
  kStreamAdd = 71,         // Body: StreamAdd. Descriptors.
  kStreamClose = 72,       // Body: StreamRef. Ends it at once, and forgets it.
  kStreamFinish = 73,      // Body: StreamRef. An output or a console whose
                           // process is gone: copy what is there, then end,
                           // though others may hold the source open.
  kStreamCloseStdin = 74,  // Body: StreamRef. Close the write end that the
                           // monitor holds of a stdin FIFO (CloseIO).
  kStreamResize = 75,      // Body: StreamResize.
  kStreamStart = 80,       // Body: StreamRef. Ends kStreamHeld.
  kStreamJournal = 89,     // Body: StreamJournal. What an output or a console
                           // writes goes to a journal as well, from now on.
  kStreamWrite = 91,       // token, step. Body: StreamRef. Tail: bytes for the
                           // process, behind those that have come already. An
                           // operation. Its error: ENOENT for no such stream,
                           // EPIPE for one that takes no more, EAGAIN if so
                           // much waits that none of it was taken.
  kStreamsAsk = 86,        // How do the streams stand? Answered by kStream for
                           // each, then kStreamsTold.
  kStore = 76,             // token: a name. Keep the descriptors for the next
                           // head; a name that is known keeps what it has.
  kUnstore = 77,           // token: close what is kept under the name.
  kUpgrade = 84,           // token, step. Body: Upgrade. Tail: strings. An
                           // operation; see "Upgrade" below.
  kInspect = 90,           // token, step: for the answer, kStatus.
  kJournalOpen = 87,   // Body: JournalOpen. Tail: its directory.
  kJournalClose = 88,  // Body: JournalRef. Its files stay.
  kCloseListener = 78,     // Close and unlink the listening socket. Answered.
  kIdle = 83,              // Body: Idle. Descriptors. See "A head that rests".
  kQuit = 79,              // Write out what is queued for the connections
                           // (bounded by a second), remove the exit file, end.
};

struct Welcome {
  uint32_t version;  // The monitor's kLinkVersion.
  int32_t monitor_pid;
  uint64_t generation;  // 1 for the first head of this monitor.
  // Unix nanoseconds of the death of the head before; 0 if there was none, or
  // if it rested.
  int64_t previous_died_at;
  uint32_t features;  // MonitorFeatures.
  uint32_t reserved;
};

enum MonitorFeatures : uint32_t {
  // A stream's source, sink or FIFO may be an O_PATH descriptor, which the
  // monitor opens. So a FIFO has its first reader or writer on our side, which
  // lets the client's open return, only when it is one that stays.
  kOpensPaths = 1u << 0,
};

struct Hello {
  uint32_t version;  // The head's kLinkVersion.
  int32_t head_pid;
};

// Why a frame is no plain request; the head words the answer.
enum RequestFault : uint8_t {
  kFrameOk = 0,
  kFrameTooLong = 1,  // `frame_length` bytes were discarded.
  kStreamIdEven = 2,
  kStreamIdReused = 3,   // Not above the connection's last.
  kFrameNotRequest = 4,  // `frame_type` says what it was.
};

struct Request {
  uint64_t connection;  // Never reused.
  uint32_t stream_id;
  uint32_t frame_length;
  uint8_t frame_type;
  uint8_t frame_flags;
  uint8_t fault;  // RequestFault.
  // How many heads crashed while they worked on this request. The head answers
  // one that has crashed kMaxAttempts of them with an error, unexecuted. A head
  // that was killed (SIGKILL: an operator, the OOM killer) did not crash.
  uint8_t deaths;
  uint32_t reserved;
};
inline constexpr uint8_t kMaxAttempts = 3;

enum SpawnFlags : uint32_t {
  kSpawnAdopts = 1u << 0,   // Its descendants may outlive it: keep the exits
                            // of unclaimed pids while this is known.
  kSpawnKeepsFd = 1u << 1,  // The last descriptor stays with the monitor,
                            // for the next head (captured output).
  kSpawnInheritsEnv = 1u << 2,  // The monitor's environment; the tail has none.
};

// Tail: `arg_count` then `env_count` NUL-terminated strings; argv[0] is the
// path to execute, or a name to look up in PATH. Descriptors: `fd_count`
// targets in `fd_target` order (target i gets descriptor i; -1 is not given to
// the child). The child gets no other descriptor, default signal dispositions,
// an empty mask and a session of its own; 0 to 2 are /dev/null unless given.
struct Spawn {
  uint32_t flags;
  uint16_t arg_count;
  uint16_t env_count;
  int32_t fd_target[kMaxFds];
};

enum class OperationKind : uint32_t {
  kSpawn = 1,
  kSignal = 2,
  kUpgrade = 3,
  kWrite = 4,
};

// What became of an operation. A spawn's exit follows as kExit.
struct Operation {
  uint32_t kind;    // OperationKind.
  int32_t error;    // 0, or errno of execve(2), fork(2) or kill(2); for
                    // kUpgrade see there.
  int32_t pid;      // Of a spawn that worked, also after its exit.
  uint32_t exited;  // A spawn: 1 once reaped (kExit follows in a replay).
  // kUpgrade: nanoseconds in which the monitor did nothing else.
  int64_t paused;
};

// Upgrade. The monitor first tries both programs: the new monitor with
// --check-state, which reads a copy of the state, and the head with the given
// arguments; each must exit with 0 and print "ok VERSION". Then it executes the
// new monitor in its own process, with its state and descriptors: spools, and
// an event under way with its connection, go along. The new one kills the head
// and starts another, which, once it says kHello, is told the result as that of
// a known operation. If the new monitor cannot take over, or the new head does
// not say kHello in ten seconds or ends three times, the old monitor is
// executed again, with the old head. Whatever goes wrong before that leaves all
// as it is.
//
// Tail: NUL-terminated: the monitor's program and the head's, each empty for
// the one that it was started from; the version of the head that asks; then
// the arguments with which the head's program is tried.
//
// The result's error: 0; EALREADY: another upgrade is under way; ETIMEDOUT: a
// trial took too long; ENOEXEC, ENOENT, EACCES, ...: a program that cannot be
// executed; EPROTO: a trial ended badly; or, if `paused` is not 0, any: the old
// programs came back. Its tail, NUL-terminated: the
// monitor's version before and after, the head's version before and after (as
// far as they are known), and why it failed.
enum UpgradeFlags : uint32_t {
  kUpgradeTrialOnly = 1u << 0,  // Try the programs, and leave it at that.
};

struct Upgrade {
  uint32_t flags;  // UpgradeFlags.
  uint32_t argument_count;
};

// What the monitor holds, for people.
struct Status {
  uint64_t generation;  // Of the head.
  uint64_t deaths;      // Of heads, those of an upgrade not counted.
  uint64_t connections;
  uint64_t requests;  // Unanswered.
  uint64_t operations;
  uint64_t processes;
  uint64_t streams;
  uint64_t stored;         // Descriptors kept for heads, by name.
  uint64_t state_version;  // shim/monitor/state.h
  uint64_t upgrades;       // Of this monitor's program, that worked.
  int64_t started_at;      // Unix nanoseconds; of the first program.
  uint64_t journal_bytes;  // Written, and could not be written.
  uint64_t journal_lost_bytes;
  int32_t journal_error;  // errno of the last failure, or 0.
  uint32_t reserved;
};

// Signals a process (if `process` is not 0) or the spawn (target_token,
// target_step). ESRCH if it was reaped, ENOENT if it is not known: the
// monitor reaps, so a signal never meets a reused pid.
struct Signal {
  uint64_t process;
  uint64_t target_token;
  uint32_t target_step;
  int32_t signal;
};

// One ttrpc call to the engine. Calls go out one at a time in the order of
// their names, over one connection that is made when it is needed.
struct Publish {
  uint32_t timeout_ms;    // For the answer, from when it is sent. 0: none.
  uint32_t address_size;  // Bytes of the tail that are the socket's path.
};

struct Published {
  // 0: the engine has answered. Otherwise an errno: of connect(2); ETIMEDOUT;
  // ECONNRESET, ECONNABORTED or another of the connection that was lost before
  // the answer; EPROTO or EMSGSIZE for an answer that is none; EINVAL for a
  // kPublish that makes no sense; ENAMETOOLONG for its path.
  int32_t error;
  uint32_t ambiguous;  // With an error: the engine may have taken it.
};

// The exit of a claimed process (`process` not 0) or of a spawn (header's
// token and step).
struct Exit {
  uint64_t process;
  int32_t pid;
  int32_t wait_status;  // As of waitpid(2).
  int64_t exited_at;    // Unix nanoseconds, when it was reaped.
};

struct Claim {
  uint64_t process;  // The head's number for it; not 0, never reused.
  int32_t pid;       // ESRCH-like answer: see below.
  uint32_t reserved;
};
// A claim is answered by nothing while the process lives. If it has exited,
// kExit follows at once. If the monitor has no such child and kept no exit of
// it, kExit follows with wait_status kNoSuchChild.
inline constexpr int32_t kNoSuchChild = -1;

struct Process {
  uint64_t process;
  int32_t pid;
  uint32_t exited;  // In a replay: 1 if kExit follows.
};

enum class StreamKind : uint32_t {
  // Descriptors: source (pipe read end), sink. From the container.
  kOutput = 1,
  // Descriptors: source (FIFO or file), sink (pipe write end), and, if
  // kStreamHoldsFifo, the FIFO's write end, held so that there is no end of
  // file between two clients.
  kInput = 2,
  // Descriptors: the listening console socket; then, each if its flag is set,
  // output sink, input source, the input FIFO's write end. The monitor
  // accepts one connection, takes the pty master that the runtime sends, and
  // copies both ways. EIO on the master is no end of file before
  // kStreamFinish: a program may close and open its terminal.
  kConsole = 3,
};

enum StreamFlags : uint32_t {
  kStreamHoldsFifo = 1u << 0,
  kStreamHasOutput = 1u << 1,
  kStreamHasInput = 1u << 2,
  // The sink is a file in append mode: read and write, never splice, at most
  // 4 KiB a write so that two streams' lines do not mix.
  kStreamSinkIsFile = 1u << 3,
  // Output: copy nothing before kStreamStart. What a runtime that fails writes
  // to the standard error that it shares with the container is its own.
  kStreamHeld = 1u << 4,
  // Output: no sink; its bytes are for the journal, or for nobody.
  kStreamNoSink = 1u << 5,
  // Output, console: the sink is opened for writing alone, and when its reader
  // has gone the stream goes on without one. Not there, it has none from the
  // beginning.
  kStreamSinkMayLeave = 1u << 6,
  // Input: no source; all that comes are kStreamWrites.
  kStreamNoSource = 1u << 7,
};

// What happens when a spool is full: see monitor/output.h.
enum class SpoolPolicy : uint32_t {
  kBlock = 0,       // The container waits.
  kDropOldest = 1,  // What was spooled first is lost, and counted.
};

// Tail: the directory for the spool of an output or a console, which need not
// be there yet.
struct StreamAdd {
  uint64_t stream;           // The head's number; a known one is ignored.
  uint32_t kind;             // StreamKind.
  uint32_t flags;            // StreamFlags.
  uint64_t spool_max_bytes;  // 0: no spool; the container waits for the sink.
  uint32_t spool_policy;     // SpoolPolicy.
  uint32_t spool_stall_ms;   // How long the sink may take nothing before that.
  // Output, console: another stream to the same sink. Until that one has ended
  // nothing of this goes there, but to the spool. 0, or one that is not known:
  // none.
  uint64_t after;
};

struct StreamRef {
  uint64_t stream;
};

// See link/journal.h.
struct JournalOpen {
  uint64_t journal;  // The head's number, not 0; a known one is ignored.
  uint64_t max_bytes;
};

struct JournalRef {
  uint64_t journal;
};

struct StreamJournal {
  uint64_t stream;
  uint64_t journal;  // 0: none any more.
  uint32_t tag;      // JournalTag
  uint32_t reserved;
};

struct Idle {
  uint64_t taken;  // Messages from the monitor, up to now.
};

struct StreamResize {
  uint64_t stream;
  uint16_t rows;
  uint16_t columns;
  uint32_t reserved;
};

struct StreamState {
  uint64_t stream;
  uint32_t kind;
  uint32_t ended;           // 1: end of file, or nothing more to copy.
  uint64_t bytes;           // Copied to the sink (a console: output).
  uint64_t lost_bytes;      // Read and not taken by the sink, or dropped.
  int32_t sink_error;       // errno of the sink's last failure, or 0.
  uint32_t has_console;     // A console: the master has come.
  uint64_t spooled_bytes;   // Ever written to the spool.
  uint64_t replayed_bytes;  // Of these: taken by the sink.
  uint64_t spool_size;      // Of these: in the spool now.
  int32_t spool_error;      // errno of the spool's last failure, or 0.
  uint32_t is_spooling;     // 1: all output goes through the spool now.
};

}  // namespace hydra::link

#endif  // HYDRA_LINK_PROTOCOL_H_
