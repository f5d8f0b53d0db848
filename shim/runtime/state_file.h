// What runc notes of a container, as far as it is of use here: state.json in
// the directory of the container's name below the runtime's root.
//
// Any thread.

#ifndef HYDRA_RUNTIME_STATE_FILE_H_
#define HYDRA_RUNTIME_STATE_FILE_H_

#include <map>
#include <string>
#include <string_view>

namespace hydra {

// The directory of each hierarchy by the names of its controllers; on cgroup v2
// one, named "". Empty if the text has none, as another runtime's. Only this
// part of the text is looked at: the whole configuration is in there, too, and
// takes as long to parse as the runtime took to write it.
std::map<std::string, std::string> CgroupDirectoriesIn(std::string_view state);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_STATE_FILE_H_
