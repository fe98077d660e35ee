# ringway_library(NAME SOURCES... [LINK libs...] [NO_EXCEPTIONS])
# ringway_test(NAME SOURCES... [LINK libs...])          one gtest program per room, one ctest entry
# ringway_fuzz(NAME SOURCES... [LINK libs...])          libFuzzer target, or a corpus replay program under g++

add_library(ringway_flags INTERFACE)
target_compile_options(ringway_flags INTERFACE
  -Wall -Wextra -Werror -Wno-missing-field-initializers -fno-omit-frame-pointer
  $<$<CXX_COMPILER_ID:Clang>:-D__cpp_concepts=202002L -Wno-builtin-macro-redefined -Wno-deprecated-declarations>)
target_compile_definitions(ringway_flags INTERFACE
  RINGWAY_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
target_include_directories(ringway_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(RINGWAY_SANITIZE)
  target_compile_options(ringway_flags INTERFACE -fsanitize=${RINGWAY_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(ringway_flags INTERFACE -fsanitize=${RINGWAY_SANITIZE})
endif()

function(ringway_library name)
  cmake_parse_arguments(arg "NO_EXCEPTIONS" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ringway_flags ${arg_LINK})
  if(arg_NO_EXCEPTIONS)
    target_compile_options(${name} PRIVATE -fno-exceptions)
  endif()
endfunction()

function(ringway_test name)
  if(NOT RINGWAY_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ringway_flags ${arg_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE TESTDATA="${CMAKE_CURRENT_SOURCE_DIR}/testdata"
    SOURCE_DIR="${CMAKE_SOURCE_DIR}" BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

# Each fuzz source defines LLVMFuzzerTestOneInput. Without RINGWAY_FUZZ it is linked with a small main
# that replays tests/fuzz/corpus/NAME (and mutates it for a bounded number of rounds), so every test
# run exercises the target with any compiler.
function(ringway_fuzz name)
  if(NOT RINGWAY_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  if(RINGWAY_FUZZ)
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE ringway_flags ${arg_LINK})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    target_link_libraries(${name} PRIVATE ringway_flags ${arg_LINK})
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  endif()
endfunction()
