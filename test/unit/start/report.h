// What a program of the tests was given, for the test to read.

#ifndef HYDRA_TEST_UNIT_START_REPORT_H_
#define HYDRA_TEST_UNIT_START_REPORT_H_

namespace hydra::test {

// Writes into the file that the variable names, whole or not at all, lines of
// "arg", "env", "fd NUMBER TARGET", "cwd", "listening" (descriptor 3),
// "session" (whether it leads one) and "sigterm" (whether it is blocked or
// ignored). Nothing if there is no such variable.
void Report(const char* variable, int argc, char** argv);

}  // namespace hydra::test

#endif  // HYDRA_TEST_UNIT_START_REPORT_H_
