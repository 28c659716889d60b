// The theme's two asides have no names, by which a screen reader tells them apart.
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Documentation")
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page")
