# aioss_embed(TARGET SYMBOL FILE DEPENDS): the bytes of FILE, which DEPENDS builds, as read-only data
# of TARGET: `extern const unsigned char SYMBOL_begin[], SYMBOL_end[]`.
function(aioss_embed target symbol file depends)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/embedded_${symbol}.cc")
  file(CONFIGURE OUTPUT "${source}" CONTENT [[
asm(R"(
  .section .rodata
  .balign 64
  .global @symbol@_begin
  .global @symbol@_end
@symbol@_begin:
  .incbin "@file@"
@symbol@_end:
  .byte 0
  .previous
)");
]] @ONLY)
  target_sources(${target} PRIVATE "${source}")
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${file}")
  add_dependencies(${target} ${depends})
endfunction()
