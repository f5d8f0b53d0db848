/* The hand-over between monitor and head, for Spin (https://spinroot.com).
 *
 * What protocol.h promises in words is checked here for every order of events:
 * a head may be killed before each of its steps, and whatever it did not come
 * to do is done by its successors. test/model runs it, and also with every
 * MUTATION below, to show that the model can fail.
 *
 * The world: one process (an exec), a Start of it, a Wait for it, and one more
 * request: a Kill, or with -DUPGRADE an upgrade of the monitor. Each request
 * has a connection of its own. CRASHES heads are killed and CLOSES connections
 * closed by the engine, at any time; an idle head leaves whenever it may.
 *
 * Where to find it in the code
 *   Monitor   monitor/monitor.cc, server.cc, operations.cc, processes.cc
 *   Head      link/client.cc, rpc/dispatcher.cc, task/instance*.cc,
 *             task/task_service.cc (Kill, Wait), task_start.cc (Start)
 *   World     the runtime, the kernel
 *   Judge     what must hold when nothing can happen any more
 * A step of the model is what nobody can see the middle of: one message, one
 * save. What is left out: failing saves and runtimes, streams, events, gRPC,
 * Create and Delete (made of the same steps), and kMaxAttempts (a head that is
 * killed has not crashed).
 *
 * Properties, as assertions: each request is answered once at most, and with
 * the truth; no operation is done twice; an exit is on disk before it is told.
 * By Judge: every request was answered, unless its connection went; the
 * record has the exit; the monitor has forgotten all that was done. And no
 * deadlock, which here includes an idle head that is not started again.
 */

#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef CLOSES
#define CLOSES 1
#endif

/* Requests, and their tokens. */
#define START 0
#define OTHER 1
#define WAIT 2
#define REQUESTS 3

/* Answers; that to Wait is the exit status. */
#define OK 1
#define NOT_FOUND 2
#define NOT_STARTED 3
#define FAILED 4
#define CANCELLED_ANSWER 5

/* Exit statuses. */
#define NONE 0
#define ENDED 1
#define KILLED 2
#define NO_SUCH_CHILD 3

mtype = {
  /* monitor to head */
  REQUEST, CANCELLED, OPERATION, EXIT, SYNCED,
  /* head to monitor */
  HELLO, RESPONSE, PARKED, SPAWN, SIGNAL, MONITOR_UPGRADE, CLAIM,
  FORGET_PROCESS, FORGET_TOKEN, IDLE
};

/* The link: type, token, value. The monitor queues without bound; so these
 * have room for all that may be under way, which is asserted. */
chan down = [12] of { mtype, byte, byte };
chan up = [8] of { mtype, byte, byte };

/* ---- the world ---- */
mtype = { ABSENT, RUNNING, ZOMBIE, REAPED };
mtype runtime = ABSENT;
mtype process = ABSENT;
byte process_status = NONE;
byte spawned, signalled, upgraded;

/* ---- the engine ---- */
bit asked[REQUESTS], gone[REQUESTS];
byte answers[REQUESTS];
byte closed;

/* ---- the monitor: what survives heads, and an upgrade ---- */
bit pending[REQUESTS], sent[REQUESTS], parked[REQUESTS];
bit known[REQUESTS];    /* Operation (token, 1), */
byte result[REQUESTS];  /* its result; a spawn's comes when it is reaped. */
bit claimed;
byte exit_status;    /* Of the claimed process; NONE while it lives. */
byte exit_file;      /* The same, on disk. */
byte unclaimed;      /* Exit kept for a claim to come. */
mtype = { DOWN, UNKNOWN, READY };
mtype head = DOWN;
bit left;            /* The head has said kIdle. */
bit sync_due;

/* ---- the head as a process ---- */
mtype = { DEAD, ALIVE };
mtype head_process = DEAD;
bit doomed;          /* Killed; it does nothing more. */
byte crashes;

/* ---- the record: what the head has saved ---- */
mtype = { CREATED, STARTED };
mtype saved_phase = CREATED;
bit saved_token;     /* Start is at work on it. */
byte saved_exit;
bit saved_outcome;   /* The answer to Start. */

#define ADOPTING known[START]

inline tell(type, token, value) {
  assert(nfull(down));
  down!type, token, value
}

/* ======== World ======== */

active proctype World() {
end:
  do
  :: atomic { runtime == RUNNING && process == ABSENT -> process = RUNNING }
  :: atomic { runtime == RUNNING && process != ABSENT -> runtime = ZOMBIE }
  :: atomic {
       process == RUNNING -> process = ZOMBIE; process_status = ENDED
     }
  /* kill -9 of a head, at any time. */
  :: atomic {
       crashes < CRASHES && head_process == ALIVE && !doomed ->
       crashes++; doomed = 1
     }
  od
}

/* ======== Monitor ======== */

/* Operations::Forget, and Monitor::Forget. */
inline forget_operations(token) {
  known[token] = 0; result[token] = NONE;
  if
  :: !ADOPTING -> unclaimed = NONE
  :: else
  fi
}

/* Operations::Spawn, Operations::Signal. */
inline do_spawn(token) {
  if
#ifndef MUTATION_NOT_MEMOISED
  :: known[token] ->
     if
     :: result[token] != NONE -> tell(OPERATION, token, result[token])
     :: else
     fi
#endif
  :: else ->
     known[token] = 1; spawned++;
     assert(spawned == 1);
     runtime = RUNNING
  fi
}

inline do_signal(token) {
  if
  :: known[token]
  :: else ->
     known[token] = 1;
     if
     :: claimed && exit_status == NONE ->
        result[token] = OK; signalled++;
        assert(signalled == 1);
        if
        :: process == RUNNING -> process = ZOMBIE; process_status = KILLED
        :: else
        fi
     :: else -> result[token] = NOT_FOUND
     fi
  fi;
  tell(OPERATION, token, result[token])
}

inline do_upgrade(token) {
  if
  :: known[token] && result[token] != NONE ->
     tell(OPERATION, token, result[token])
  :: known[token] && result[token] == NONE
  :: else -> known[token] = 1
  fi
}

/* When the trials are done, whatever heads died meanwhile, the monitor executes
 * its successor, which has all that this one has, the link, the request and
 * this operation included. The successor kills the head. */
inline execute_upgrade(token) {
  known[token] && result[token] == NONE ->
#ifdef MUTATION_UPGRADE_NOT_NOTED
  known[token] = 0;
#else
  result[token] = OK;
#endif
  upgraded++;
  assert(upgraded == 1);
  doomed = (head_process == ALIVE)
}

/* Processes::Claim. */
inline do_claim() {
  if
  :: claimed ->
     if
     :: exit_status != NONE -> tell(EXIT, 0, exit_status)
     :: else
     fi
  :: !claimed && (process == RUNNING || process == ZOMBIE) -> claimed = 1
  :: !claimed && process == REAPED && unclaimed != NONE ->
     claimed = 1; exit_status = unclaimed; unclaimed = NONE;
     exit_file = exit_status;
     tell(EXIT, 0, exit_status)
  :: else -> tell(EXIT, 0, NO_SUCH_CHILD)
  fi
}

/* Server::Respond, and what the engine thinks of it. */
inline do_respond(token, value) {
  forget_operations(token);
  if
  :: pending[token] ->
     pending[token] = 0; sent[token] = 0; parked[token] = 0;
     answers[token]++;
     assert(answers[token] == 1 && !gone[token]);
     assert(token != START || value == OK);
     assert(token != WAIT || value == process_status);
#ifdef UPGRADE
     assert(token != OTHER || (value == OK && upgraded == 1));
#else
     assert(token != OTHER || (value == OK) == (signalled == 1));
     assert(token != OTHER || value != NOT_FOUND || process_status != NONE);
#endif
  :: else
  fi
}

inline on_message(type, token, value) {
  if
  :: type == HELLO ->
     head = READY;
     /* Operations::Replay, Processes::Replay. */
#ifndef MUTATION_NOT_MEMOISED
     if
     :: known[START] -> tell(OPERATION, START, result[START])
     :: else
     fi;
     if
     :: known[OTHER] -> tell(OPERATION, OTHER, result[OTHER])
     :: else
     fi;
#endif
     if
     :: claimed && exit_status != NONE ->
        assert(exit_file == exit_status);
        tell(EXIT, 0, exit_status)
     :: else
     fi;
#ifdef MUTATION_SYNCED_TOO_SOON
     tell(SYNCED, 0, 0);
#else
     sync_due = 1
#endif
  :: type == RESPONSE -> do_respond(token, value)
  :: type == PARKED -> parked[token] = pending[token]
  :: type == SPAWN -> do_spawn(token)
  :: type == SIGNAL -> do_signal(token)
  :: type == MONITOR_UPGRADE -> do_upgrade(token)
  :: type == CLAIM -> do_claim()
  :: type == FORGET_PROCESS -> claimed = 0; exit_status = NONE
  :: type == FORGET_TOKEN -> forget_operations(token)
  :: type == IDLE -> left = 1
  fi
}

/* Server::FeedHead. Every request is sent once to each head. */
inline send_request(token) {
  pending[token] && !sent[token] && head == READY ->
  tell(REQUEST, token, 0); sent[token] = 1
}

#define IS_FED(token) (!pending[token] || sent[token])

/* The engine asks; the frame is read and has its token. */
inline take_request(token) {
  !asked[token] -> asked[token] = 1; pending[token] = 1
}

/* Server::Close. */
inline close_connection(token) {
  pending[token] && closed < CLOSES ->
  closed++; gone[token] = 1; pending[token] = 0;
  if
  :: sent[token] && head == READY -> tell(CANCELLED, token, 0)
  :: else
  fi;
  sent[token] = 0; parked[token] = 0
}

/* What a head is started for that has left because it was idle. */
#if defined(MUTATION_IDLE_FORGETS_REQUEST)
#define HAS_REQUEST(token) (pending[token] && !sent[token])
#elif defined(MUTATION_IDLE_WAKES_FOR_WAIT)
#define HAS_REQUEST(token) pending[token]
#else
#define HAS_REQUEST(token) (pending[token] && !parked[token])
#endif
#ifdef MUTATION_IDLE_FORGETS_EXIT
#define HAS_EXIT 0
#else
#define HAS_EXIT (claimed && exit_status != NONE)
#endif
#define HAS_WORK \
  (HAS_REQUEST(START) || HAS_REQUEST(OTHER) || HAS_REQUEST(WAIT) || HAS_EXIT)

#ifdef MUTATION_LINK_NOT_DRAINED
#define IS_DRAINED 1
#else
#define IS_DRAINED empty(up)
#endif

active proctype Monitor() {
  mtype type;
  byte token, value;
end:
  do
  :: atomic { take_request(START) }
  :: atomic { take_request(OTHER) }
  :: atomic { take_request(WAIT) }
  :: atomic { close_connection(START) }
  :: atomic { close_connection(OTHER) }
  :: atomic { close_connection(WAIT) }
  :: atomic { send_request(START) }
  :: atomic { send_request(OTHER) }
  :: atomic { send_request(WAIT) }
  :: atomic {
       sync_due && head == READY && IS_FED(START) && IS_FED(OTHER) &&
           IS_FED(WAIT) ->
       tell(SYNCED, 0, 0); sync_due = 0
     }

#ifdef UPGRADE
  :: atomic { execute_upgrade(OTHER) }
#endif

  /* Monitor::ReadLink; a head's last words are read after its death too. */
  :: atomic {
       up?type, token, value -> on_message(type, token, value);
       type = 0; token = 0; value = 0
     }

  /* Monitor::ReapChildren: the runtime; the process, which is our child once
   * the runtime is gone. */
  :: atomic {
       runtime == ZOMBIE -> runtime = REAPED;
       if
       :: known[START] ->
          result[START] = OK;
          if
          :: head == READY -> tell(OPERATION, START, OK)
          :: else
          fi
       :: else
       fi
     }
  :: atomic {
       process == ZOMBIE && (runtime == ZOMBIE || runtime == REAPED) ->
       process = REAPED;
       if
       :: claimed ->
          exit_status = process_status; exit_file = exit_status;
          if
          :: head == READY -> tell(EXIT, 0, exit_status)
          :: else
          fi
#ifndef MUTATION_EXIT_NOT_KEPT
       :: !claimed && ADOPTING -> unclaimed = process_status
#endif
       :: else
       fi
     }

  /* Monitor::OnHeadReaped. Until the next start `sent` and `parked` say what
   * the last head had. */
  :: atomic {
       head != DOWN && head_process == DEAD && IS_DRAINED ->
       head = DOWN; sync_due = 0;
       do
       :: down?_, _, _
       :: up?_, _, _
       :: empty(down) && empty(up) -> break
       od
     }
  :: atomic {
       head == DOWN && (!left || HAS_WORK) ->
       head = UNKNOWN; left = 0; head_process = ALIVE;
       sent[START] = 0; sent[OTHER] = 0; sent[WAIT] = 0;
       parked[START] = 0; parked[OTHER] = 0; parked[WAIT] = 0
     }
  od
}

/* ======== Head ======== */

/* RecordFile::Save: the whole record, at once. */
inline save() {
  atomic {
    saved_phase = phase; saved_token = has_token; saved_exit = exited;
    saved_outcome = outcome
  }
}

inline respond(token, value) {
  atomic { up!RESPONSE, token, value; busy[token] = 0; knows[token] = 0 }
}

/* Instance::OnExit, HandleExecExit. */
inline on_exit(status) {
  if
  :: exited != NONE -> up!FORGET_PROCESS, 0, 0
  :: exited == NONE && has_token -> held = status
  :: else ->
     exited = status;
#ifdef MUTATION_FORGOTTEN_BEFORE_SAVED
     up!FORGET_PROCESS, 0, 0;
     save();
#else
     save();
     up!FORGET_PROCESS, 0, 0;
#endif
     if
     :: busy[WAIT] -> respond(WAIT, exited)
     :: else
     fi
  fi
}

/* TaskService::StartExec from the runtime's end on; Dispatcher::Respond, or
 * FinishOrphans if nobody waits for the answer; Instance::Settle. */
inline finish_start() {
#ifndef MUTATION_CLAIMED_TOO_LATE
  up!CLAIM, 0, 0;
#endif
  has_token = 0; phase = STARTED;
  if
  :: busy[START] ->
     outcome = 1;
#ifdef MUTATION_ANSWER_BEFORE_SAVE
     respond(START, OK);
     save();
#else
     save();
     respond(START, OK);
#endif
     outcome = 0
  :: else ->
     save();
     atomic { up!FORGET_TOKEN, START, 0; knows[START] = 0 }
  fi;
#ifdef MUTATION_CLAIMED_TOO_LATE
  up!CLAIM, 0, 0;
#endif
  starting = 0;
  if
  :: held != NONE -> value = held; held = NONE; on_exit(value)
  :: else
  fi
}

/* The same from its beginning: intention, operation. */
inline start() {
  starting = 1;
  if
  :: !has_token ->
     has_token = 1;
#ifndef MUTATION_NO_INTENTION
     save()
#endif
  :: else
  fi;
  if
  :: !knows[START] -> atomic { up!SPAWN, START, 0; knows[START] = 1 }
  :: knows[START] && done[START] != NONE -> finish_start()
  :: else
  fi
}

#ifdef MUTATION_KILL_BY_RECORD_ALONE
#define KILL_IS_LATE (exited != NONE)
#else
#define KILL_IS_LATE (exited != NONE && !knows[OTHER])
#endif

/* Dispatcher::OnRequest. */
inline on_request(token) {
  busy[token] = 1;
  if
  :: token == START ->
     if
     :: outcome -> respond(START, OK); outcome = 0
     :: !outcome && (has_token || phase == CREATED) -> start()
     :: else -> respond(START, FAILED)
     fi
  :: token == WAIT ->
     up!PARKED, WAIT, 0;
     if
     :: exited != NONE -> respond(WAIT, exited)
     :: else
     fi
  :: token == OTHER ->
     if
     :: knows[OTHER] && done[OTHER] != NONE && !KILL_IS_LATE ->
        respond(OTHER, done[OTHER])
#ifdef UPGRADE
     :: !knows[OTHER] ->
        atomic { up!MONITOR_UPGRADE, OTHER, 0; knows[OTHER] = 1 }
     :: knows[OTHER] && done[OTHER] == NONE
#else
     :: KILL_IS_LATE -> respond(OTHER, NOT_FOUND)
     :: !KILL_IS_LATE && phase == CREATED -> respond(OTHER, NOT_STARTED)
     :: !KILL_IS_LATE && phase != CREATED && !knows[OTHER] ->
        atomic { up!SIGNAL, OTHER, 0; knows[OTHER] = 1 }
#endif
     fi
  fi
}

/* Head::FinishOrphans: what heads before began for callers who are gone. */
inline finish_orphans() {
  if
  :: knows[START] && !busy[START] && !has_token ->
     atomic { up!FORGET_TOKEN, START, 0; knows[START] = 0 }
  :: else
  fi;
  if
  :: knows[OTHER] && !busy[OTHER] ->
     atomic { up!FORGET_TOKEN, OTHER, 0; knows[OTHER] = 0 }
  :: else
  fi;
  if
  :: has_token && !busy[START] && !starting -> start()
  :: else
  fi
}

/* MonitorClient::Synchronise. */
inline synchronise() {
  up!HELLO, 0, 0;
  do
  :: atomic { down?OPERATION, token, value ->
       knows[token] = 1; done[token] = value }
  :: atomic { down?EXIT, _, value -> held = value }
  :: atomic { down?REQUEST, token, _ -> early[token] = 1 }
  :: atomic { down?CANCELLED, token, _ -> early[token] = 0 }
  :: atomic { down?SYNCED, _, _ -> token = 0; value = NONE; break }
  od
}

/* Instance::Load, MonitorClient::Serve. */
inline take_over() {
  atomic {
    phase = saved_phase; has_token = saved_token; exited = saved_exit;
    outcome = saved_outcome;
    value = held; held = NONE
  }
  if
  :: value != NONE -> on_exit(value)
  :: else
  fi;
  if
  :: early[START] -> early[START] = 0; on_request(START)
  :: else
  fi;
  if
  :: early[OTHER] -> early[OTHER] = 0; on_request(OTHER)
  :: else
  fi;
  if
  :: early[WAIT] -> early[WAIT] = 0; on_request(WAIT)
  :: else
  fi;
  finish_orphans()
}

#define IS_IDLE (!busy[START] && !busy[OTHER] && !starting)

inline serve() {
  do
  :: down?REQUEST, token, _ -> on_request(token); token = 0
  :: down?OPERATION, token, value ->
     done[token] = value;
     if
     :: token == START && starting -> finish_start()
     :: token == OTHER && busy[OTHER] -> respond(OTHER, done[OTHER])
     :: else
     fi;
     token = 0; value = NONE
  :: down?EXIT, _, value -> on_exit(value); value = NONE
  :: down?CANCELLED, token, _ ->
     if
     :: token == WAIT && busy[WAIT] -> respond(WAIT, CANCELLED_ANSWER)
     :: else
     fi;
     token = 0
  :: IS_IDLE -> up!IDLE, 0, 0; break
  od
}

active proctype Head() {
  byte token, value;
  /* MonitorClient: what is known of operations, what came before kSynced. */
  bit knows[REQUESTS], early[REQUESTS];
  byte done[REQUESTS];
  /* Dispatcher: requests without an answer. */
  bit busy[REQUESTS];
  /* Instance: the record in memory, an exit that waits for its start. */
  mtype phase;
  bit has_token, outcome, starting;
  byte exited, held;
end:
  do
  :: head_process == ALIVE ->
     { synchronise(); take_over(); serve() } unless { doomed };
     atomic {
       token = 0; value = 0; phase = 0; has_token = 0; outcome = 0;
       starting = 0; exited = 0; held = 0;
       knows[START] = 0; knows[OTHER] = 0; knows[WAIT] = 0;
       early[START] = 0; early[OTHER] = 0; early[WAIT] = 0;
       done[START] = 0; done[OTHER] = 0; done[WAIT] = 0;
       busy[START] = 0; busy[OTHER] = 0; busy[WAIT] = 0;
       doomed = 0; head_process = DEAD
     }
  od
}

/* ======== Judge ======== */

#define IS_SERVED(token) (answers[token] == 1 || gone[token])

/* `timeout` is true when nobody else can do anything. */
active proctype Judge() {
  timeout;
  assert(asked[START] && asked[OTHER] && asked[WAIT]);
  assert(IS_SERVED(START));
  assert(IS_SERVED(OTHER));
  /* A Wait for what was never started goes on. */
  assert(IS_SERVED(WAIT) || process == ABSENT);
  assert(process == ABSENT || process == REAPED);
  assert(process == ABSENT || saved_exit == process_status);
  assert(process == ABSENT || exit_file == process_status);
  assert(spawned == 1 || gone[START]);
  assert(!known[START] && !known[OTHER] && !claimed && unclaimed == NONE);
  assert(empty(up) && empty(down))
}
