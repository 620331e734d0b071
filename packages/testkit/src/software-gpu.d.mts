/**
 * The environment in which a process started with it finds a software WebGPU adapter: SwiftShader, unpacked once into
 * the user's cache folder (or the temporary folder where that can't be written) from the npm package
 * `@sparticuz/chromium`. Needs no root, no driver and no system package. It must be there when the process starts:
 * the dynamic linker reads `LD_LIBRARY_PATH` only then.
 *
 * Empty where a Vulkan driver is named already (`VK_DRIVER_FILES`, for example a newer lavapipe), and on systems
 * other than Linux x64, which the package doesn't serve. Throws when the archive lacks a file, or neither folder can
 * be written.
 */
export declare function softwareGpuEnv(): Promise<Record<string, string>>;
