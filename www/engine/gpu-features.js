/**
 * Makes every device that is requested in this realm have the `subgroups` feature where its adapter
 * has it. wgpu 30 knows subgroups only as a native feature and never asks for them on the web, so
 * shaders with `enable subgroups;` would be refused.
 * @param {(message: string) => void} onLost hears of a device that is lost
 */
export function requestSubgroups(onLost) {
  if (typeof GPUAdapter === 'undefined') return;
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor = {}) {
    const features = new Set(descriptor.requiredFeatures ?? []);
    if (this.features.has('subgroups')) features.add('subgroups');
    const device = await requestDevice.call(this, { ...descriptor, requiredFeatures: [...features] });
    device.lost.then(({ message }) => onLost(message));
    return device;
  };
}
