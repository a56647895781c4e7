// Takes a picture with the camera: in the page where the browser allows it, and else by the
// phone's own camera program.

import { byId } from "./elements.js";

let stream = null, facing = "environment";

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
}

async function start() {
  stop();
  byId("camera-note").textContent = "Waiting for the camera…";
  byId("shoot").disabled = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing, width: { ideal: 4096 }, height: { ideal: 3072 } } });
    if (!byId("camera").open) return stop(); // it was closed meanwhile
    byId("video").srcObject = stream;
    await byId("video").play();
    byId("camera-note").textContent = "";
    byId("shoot").disabled = false;
  } catch (error) {
    byId("camera-note").textContent =
      error.name === "NotAllowedError" ? "The browser doesn't allow it. Allow the camera for this page, and try again." : "There is no camera that can be used.";
  }
}

function systemCamera(takes) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", accept: "image/*" });
  input.setAttribute("capture", "environment");
  input.addEventListener("change", () => takes([...input.files]));
  input.click();
}

/** Prepares the dialog, and returns the function that opens it. takes gets a list of files. */
export function camera(takes) {
  const dialog = byId("camera");
  dialog.addEventListener("close", stop);
  byId("camera-close").addEventListener("click", () => dialog.close());
  byId("turn").addEventListener("click", () => {
    facing = facing === "environment" ? "user" : "environment";
    start();
  });
  byId("shoot").addEventListener("click", () => {
    const video = byId("video"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      takes([new File([blob], `camera-${time}.jpg`, { type: "image/jpeg" })]);
      dialog.close();
    }, "image/jpeg", 0.95);
  });
  return () => {
    // Browsers give the camera to pages of this computer and of https alone.
    if (!navigator.mediaDevices?.getUserMedia) return systemCamera(takes);
    dialog.showModal();
    start();
  };
}
