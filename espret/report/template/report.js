// Turns each <audio controls> into a button and the picture of the clip's spectrum, which is clicked to seek.
// Without scripts the browser's own controls stay.
"use strict";
const ICONS = { play: "M4 2.5v11l9-5.5z", pause: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z" };
const players = document.querySelectorAll(".player");

for (const player of players) {
  const audio = player.querySelector("audio");
  const spectrum = player.querySelector(".spectrum");
  const cursor = spectrum.querySelector("i");
  const length = Number(player.dataset.seconds);
  const button = document.createElement("button");
  button.className = "play";
  button.type = "button";
  player.prepend(button);
  player.classList.add("live");
  audio.controls = false;

  const show = () => {
    const name = audio.paused ? "play" : "pause";
    button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
    button.setAttribute("aria-label", `${name} ${audio.getAttribute("aria-label")}`);
  };
  const follow = () => {
    cursor.style.width = `${Math.min(100, (100 * audio.currentTime) / length)}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  const seek = (seconds) => {
    audio.currentTime = Math.max(0, Math.min(length, seconds));
    player.classList.add("started");
    follow();
  };

  button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) seek(audio.currentTime + step);
  });
  spectrum.addEventListener("click", (event) => {
    const box = spectrum.getBoundingClientRect();
    seek((length * (event.clientX - box.left)) / box.width);
    audio.play();
  });
  audio.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.querySelector("audio").pause();
    player.classList.add("started");
    show();
    follow();
  });
  audio.addEventListener("pause", show);
  audio.addEventListener("ended", () => player.classList.remove("started"));
  show();
}
