# The engines that test/engines/fetch.sh fetches, and tests on each of them.

set(hydra_engines_directory ${PROJECT_BINARY_DIR}/engines)
set(hydra_engine_suites bookworm trixie sid)

# Once per build tree, and before the tests, whose time it is not.
add_test(NAME "engines: fetch"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/fetch.sh ${hydra_engines_directory})
set_tests_properties("engines: fetch" PROPERTIES
  LABELS engines FIXTURES_SETUP engines TIMEOUT 900)

# hydra_discover_on_engines(TARGET AREA SPEC REFERENCE_SPEC)
#
# The target's tests that match Catch2's SPEC, on each engine with Hydra, and
# those that match REFERENCE_SPEC with the engine's own shim: named
# "SUITE/AREA/RUNTIME: TEST", which test/engines/table.sh reads, and labelled
# `engines` and `engines-reference`. To be called where the target is made.
function(hydra_discover_on_engines target area spec reference_spec)
  foreach(suite ${hydra_engine_suites})
    hydra_discover_on_engine(${target} ${suite} ${area} hydra.v1 engines
                             ${spec})
    hydra_discover_on_engine(${target} ${suite} ${area} runc.v2
                             engines-reference ${reference_spec})
  endforeach()
endfunction()

# The same for tests that go from one engine to another.
function(hydra_discover_between_engines target area spec)
  hydra_discover_on_engine(${target} all ${area} hydra.v1 engines ${spec})
  hydra_discover_on_engine(${target} all ${area} runc.v2 engines-reference
                           ${spec})
endfunction()

function(hydra_discover_on_engine target suite area runtime label spec)
  set(engine)
  if(suite IN_LIST hydra_engine_suites)
    set(engine --engine ${suite})
  endif()
  catch_discover_tests(${target}
    TEST_PREFIX "${suite}/${area}/${runtime}: "
    TEST_LIST ${target}_${suite}_${runtime}
    TEST_SPEC ${spec}
    EXTRA_ARGS --runtime io.containerd.${runtime} ${engine}
    PROPERTIES LABELS ${label} TIMEOUT 180 SKIP_RETURN_CODE 77
               FIXTURES_REQUIRED engines)
endfunction()
