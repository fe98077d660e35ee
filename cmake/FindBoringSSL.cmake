# Finds BoringSSL and makes BoringSSL::SSL and BoringSSL::Crypto.
#
# BORINGSSL_ROOT: a build of BoringSSL (include/ and lib/, or the source tree with its build/). Empty: Debian's
# android-libboringssl-dev, whose libraries sit outside the linker's default path, so programs get an RPATH to them.
#
# A program that links these must not also load OpenSSL (libcurl, grpc++): the two share symbol names.

set(BORINGSSL_ROOT "" CACHE PATH "Where BoringSSL is installed; empty: Debian's android-libboringssl-dev")

if(BORINGSSL_ROOT)
  set(_boringssl_include_hints ${BORINGSSL_ROOT}/include)
  set(_boringssl_library_hints ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/lib64 ${BORINGSSL_ROOT}/build
    ${BORINGSSL_ROOT}/build/ssl ${BORINGSSL_ROOT}/build/crypto)
else()
  set(_boringssl_include_hints /usr/include/android)
  set(_boringssl_library_hints /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android
    /usr/lib/x86_64-linux-gnu/android)
endif()

# is_boringssl.h is a header that OpenSSL does not have.
find_path(BORINGSSL_INCLUDE_DIR openssl/is_boringssl.h
  HINTS ${_boringssl_include_hints} NO_DEFAULT_PATH)
find_library(BORINGSSL_SSL_LIBRARY NAMES ssl HINTS ${_boringssl_library_hints} NO_DEFAULT_PATH)
find_library(BORINGSSL_CRYPTO_LIBRARY NAMES crypto HINTS ${_boringssl_library_hints} NO_DEFAULT_PATH)
mark_as_advanced(BORINGSSL_INCLUDE_DIR BORINGSSL_SSL_LIBRARY BORINGSSL_CRYPTO_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BoringSSL
  REQUIRED_VARS BORINGSSL_SSL_LIBRARY BORINGSSL_CRYPTO_LIBRARY BORINGSSL_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install android-libboringssl-dev or set BORINGSSL_ROOT")

if(BoringSSL_FOUND AND NOT TARGET BoringSSL::Crypto)
  find_package(Threads REQUIRED)
  get_filename_component(_boringssl_library_dir ${BORINGSSL_CRYPTO_LIBRARY} DIRECTORY)
  add_library(BoringSSL::Crypto UNKNOWN IMPORTED GLOBAL)
  set_target_properties(BoringSSL::Crypto PROPERTIES
    IMPORTED_LOCATION ${BORINGSSL_CRYPTO_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES Threads::Threads)
  if(BORINGSSL_CRYPTO_LIBRARY MATCHES "\\.so")
    # CMake drops its own RPATH at install; this one stays.
    set_property(TARGET BoringSSL::Crypto APPEND PROPERTY
      INTERFACE_LINK_OPTIONS "LINKER:-rpath,${_boringssl_library_dir}")
  endif()
  add_library(BoringSSL::SSL UNKNOWN IMPORTED GLOBAL)
  set_target_properties(BoringSSL::SSL PROPERTIES
    IMPORTED_LOCATION ${BORINGSSL_SSL_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES BoringSSL::Crypto)
endif()
