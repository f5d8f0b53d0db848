// Linked into programs that use no descriptors (proto/CMakeLists.txt).
//
// The well-known types come from protobuf's full runtime, and with them
// descriptor.proto, whose descriptors each start of a program parses and
// indexes. Not here: the wrapped constructor of the static objects that order
// it does nothing. What asks for a descriptor all the same gets it, as protobuf
// registers what it has not yet (AssignDescriptors).

extern "C" void
__wrap__ZN6google8protobuf8internal20AddDescriptorsRunnerC1EPKNS1_15DescriptorTableE(
    void* /*runner*/, const void* /*table*/) {}
