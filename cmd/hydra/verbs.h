// Each verb's definition; those of one file stand together there.

#ifndef HYDRA_CMD_HYDRA_VERBS_H_
#define HYDRA_CMD_HYDRA_VERBS_H_

#include "cmd/hydra/verb.h"

namespace hydra::command {

// run.cc
Verb RunVerb();
Verb CreateVerb();
Verb StartVerb();
// attach.cc
Verb AttachVerb();
// exec.cc
Verb ExecVerb();
// control.cc
Verb StopVerb();
Verb KillVerb();
Verb RestartVerb();
Verb PauseVerb();
Verb UnpauseVerb();
Verb WaitVerb();
Verb RemoveVerb();
// ps.cc
Verb PsVerb();
// logs.cc
Verb LogsVerb();
// events.cc
Verb EventsVerb();
// inspect.cc
Verb InspectVerb();
// stats.cc
Verb StatsVerb();
Verb TopVerb();
// resources.cc
Verb UpdateVerb();
Verb CheckpointVerb();
Verb RestoreVerb();
// upgrade.cc
Verb UpgradeVerb();
// help.cc
Verb VersionVerb();
Verb CompletionVerb();
Verb ManVerb();
Verb HelpVerb();

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_VERBS_H_
