# What `./dev` obtains besides Debian packages: by package name, exact version and SHA-256.
# Nothing of it is committed; everything is checked before it is used.
LLAMA_PACKAGE="node-llama-cpp@3.22.1" # npm; holds a git bundle of llama.cpp, tag v0.5.0
LLAMA_TARBALL="node-llama-cpp-3.22.1.tgz"
LLAMA_TARBALL_SHA256="a0d9dd80eacd2ab1cfe71aee57ac8a806487fd70b3d2a38fbec637752d9e5c5f"
LLAMA_BUNDLE="package/llama/gitRelease.bundle"
LLAMA_COMMIT="de3ff81"

# PyPI, the sdist; holds ik_llama.cpp, whose commit it does not say.
IK_PACKAGE="ik-llama-cpp-python==0.1.5"
IK_TARBALL="ik_llama_cpp_python-0.1.5.tar.gz"
IK_TARBALL_SHA256="33c67eb99e4dcab5e611050433243815709b8b3067753f9ce18375013cf002ad"
IK_FOLDER="ik_llama_cpp_python-0.1.5/vendor/ik_llama.cpp"

SMOLLM2_FILE="SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GEMMA_FILE="gemma-3-270m-q4_k_m.gguf"
GEMMA_SHA256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
