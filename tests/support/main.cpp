// SPDX-License-Identifier: MIT
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int main(int argc, char** argv) {
    Catch::Session session;
    if (const int misuse = session.applyCommandLine(argc, argv); misuse != 0) {
        return misuse;
    }
    // A test that asserts nothing has failed, whatever the command line says.
    Catch::ConfigData& config = session.configData();
    config.warnings =
        static_cast<Catch::WarnAbout::What>(config.warnings | Catch::WarnAbout::NoAssertions);
    // Not the number of failures: tests/part knows a few exit codes by their meaning.
    return session.run() == 0 ? 0 : 1;
}
